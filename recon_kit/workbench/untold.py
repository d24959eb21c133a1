"""Runs that were not told the answers: what certificates and sweeps are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recon_kit.ledger.engine import Engine
from recon_kit.matching.canary import NO_TRIALS
from recon_kit.model import Run, StoredModel
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation
from recon_kit.tuning import outcomes
from recon_kit.workbench.face import Face, Progress
from recon_kit.workbench.run import Request, Variant, evaluate, facts_seq


@dataclass(frozen=True, slots=True)
class Untold:
    """Such a run, its picks (`outcomes.PICK_SCHEMA`), and how many pairs could be formed.

    `open_pairs` maps a method to the number of left events times right events that it found open.
    """

    run: Run
    found: pl.DataFrame
    open_pairs: dict[str, int]


class Blind(Face):
    """A workbench that can evaluate a reconciliation without what people answered."""

    def _untold(
        self,
        rec: Reconciliation,
        progress: Progress,
        streams: tuple[str, ...] = ("audit",),
        model: StoredModel | None = None,
    ) -> Untold:
        """Evaluate on the facts of now, leaving out decisions of some streams.

        The run is kept as a shadow: asking again costs nothing. It scores with the model in use, or
        with `model`, and everything with the same: what is tried on a share is left out.
        """
        seq = facts_seq(self.store)
        variant = Variant(without=streams, model=model, trials=NO_TRIALS)
        request = Request(rec, seq, self.now(), "shadow", variant=variant)
        run = evaluate(self.store, self.settings, request, progress).run
        precedence = {s.name: s.precedence for s in self.settings.sources}
        with self.store.snapshot().engine(runs=[run.run_id], precedence=precedence) as engine:
            found = outcomes.picks(engine, rec, run.run_id)
            return Untold(run, found, _open_pairs(engine, run.run_id))


def _open_pairs(engine: Engine, run_id: str) -> dict[str, int]:
    mine = f"run_id = {quote_text(run_id)}"
    rows = engine.rows(
        f"""
        with still as (
            select side, count(*) as n from open_items
            where {mine} and match_id is null group by side),
        made as (
            select m.method, mm.side, count(*) as n
            from (from matches where {mine}) m
            join (from match_members where {mine} and counts) mm using (match_id) group by all),
        methods as (
            select distinct method from made
            union select distinct method from proposals where {mine})
        select method,
          (coalesce((select sum(n) from still where side = 'left'), 0)
            + coalesce((select sum(n) from made where made.method = methods.method
                        and side = 'left'), 0))::bigint as lefts,
          (coalesce((select sum(n) from still where side = 'right'), 0)
            + coalesce((select sum(n) from made where made.method = methods.method
                        and side = 'right'), 0))::bigint as rights
        from methods order by method"""
    )
    return {method: lefts * rights for method, lefts, rights in rows.iter_rows()}
