"""Results: reconcile, and everything that shows what came of it."""

from __future__ import annotations

from typing import Literal

import polars as pl

from recon_kit.errors import MatchingError
from recon_kit.matching.authority import authority, with_model
from recon_kit.model import Run
from recon_kit.present.live import while_running
from recon_kit.present.views import (
    HistoryView,
    MatchesView,
    QueueView,
    RunView,
    SliView,
    Summary,
    WhyView,
)
from recon_kit.resolution import governance
from recon_kit.settings import Reconciliation
from recon_kit.workbench import asof, heard, queries, stories, whatisopen
from recon_kit.workbench.changed import changes_view
from recon_kit.workbench.face import Face, Progress, quiet
from recon_kit.workbench.history import history
from recon_kit.workbench.run import Done, Request, evaluate, trials


class Results(Face):
    """Runs and what they came to."""

    @while_running
    def reconcile(
        self,
        *names: str,
        as_of: str | int | None = None,
        shadow: bool = False,
        progress: Progress = quiet,
    ) -> RunView:
        """Evaluate reconciliations; what was evaluated before is not evaluated again.

        Args:
            names: reconciliations; all declared ones where none is named.
            as_of: a sequence number, or a date whose end is meant: evaluate what was known then,
                beside the current result.
            shadow: store the result without making it the current one.
            progress: told each stage.

        Returns:
            A row per reconciliation; `.answers` says what became of the answers that were heard,
            `.diff` what changed against the run that was current.
        """
        recs = [self.settings.reconciliation(n) for n in names] or self.settings.reconciliations
        seq, moment = asof.meant(as_of, self.store, self.settings, self.now())
        done: list[Done] = []
        failures: dict[str, str] = {}
        kind: Literal["live", "shadow"] = "shadow" if shadow or as_of is not None else "live"
        for rec in recs:
            try:
                request = Request(rec, seq, moment, kind, recorded_at=self.now())
                done.append(evaluate(self.store, self.settings, request, progress))
            except MatchingError as why:
                failures[rec.name] = str(why)
        runs = [d.run.run_id for d in done]
        with self.store.snapshot().engine(runs=runs, facts=False) as engine:
            frame = queries.runs(engine, done)
        about = self._about({d.run.reconciliation: d.run for d in done})
        # a live run that was evaluated before is read again: it changes nothing
        told = [d.run for d in done if d.fresh or kind == "shadow"]
        diff = changes_view(self.store, self.settings, told, about) if told else None
        live = [run for run in told if kind == "live"]
        answers = heard.sentences(self.store, self.settings, live)
        return RunView(frame, about, failures, diff, answers)

    def summary(self, reconciliation: str | None = None) -> Summary:
        """The first screen: matched, in flight, not covered, unexplained, and what to do next."""
        with self._current(reconciliation) as (engine, about):
            recs = [self.settings.reconciliation(name) for name in about.runs]
            return Summary(
                about,
                queries.totals(engine, self.settings),
                queries.open_items(engine),
                whatisopen.what_is_open(engine, recs),
                whatisopen.settled_by_rule(engine),
                str(self._reports() / "open_items.csv"),
            )

    def matches(
        self,
        reconciliation: str | None = None,
        *,
        method: str | None = None,
        disposition: str | None = None,
    ) -> MatchesView:
        """Matches, one row each, filtered by method and disposition where given."""
        with self._current(reconciliation) as (engine, about):
            frame, proposed = queries.matches(engine), queries.proposed(engine)
        for name, value in (("method", method), ("disposition", disposition)):
            if value is not None:
                frame, proposed = (f.filter(pl.col(name) == value) for f in (frame, proposed))
        return MatchesView(frame, about, proposed.height)

    def queue(self, reconciliation: str | None = None) -> QueueView:
        """Open cases, most urgent first, each with owner and suggested action."""
        with self._current(reconciliation) as (engine, about):
            return QueueView(queries.queue(engine, self.settings, about.as_of), about)

    def slis(self, reconciliation: str | None = None) -> SliView:
        """The measured rates of the current runs."""
        runs = self._runs(reconciliation)
        values = [self.store.sli_values(run.run_id) for run in runs.values()]
        return SliView(pl.concat(values), self._about(runs))

    def history(self, order: str = "") -> HistoryView:
        """Everything known about one order: facts, matches, open items, cases, oldest first.

        Args:
            order: any id that names it; one with much to tell, where not given.
        """
        with self._current(None) as (engine, about):
            asked = order or stories.example(engine, self.settings.reconciliations) or order
            return HistoryView(asked, history(engine, asked), about)

    def why(self, event: str = "", reconciliation: str | None = None) -> WhyView:
        """Why an event was matched as it was, or what kept it apart.

        Args:
            event: an event key, or an id that names one event, before those that only carry it;
                an example, where not given.
            reconciliation: where to look; the first one it takes part in, where not given.
        """
        recs = self.settings.reconciliations
        if reconciliation is not None:
            recs = (self.settings.reconciliation(reconciliation),)
        with self._current(None) as (engine, about):
            evaluated = [rec for rec in recs if rec.name in about.runs]
            asked = event or stories.example(engine, evaluated) or event
            rec, key = stories.locate(engine, evaluated, asked)
            run = self._runs(rec.name)[rec.name]
            return stories.why_view(engine, rec, key, self._asked(rec, run), about)

    def _asked(self, rec: Reconciliation, run: Run) -> stories.Asked:
        """The run with its model, and what the probabilistic method might do alone in it."""
        promised = governance.certificates(
            self.store.rows("certificates", run.as_of_seq),
            self.store.rows("approvals", run.as_of_seq),
            rec.name,
        )
        allowed = authority(rec, "probable", promised, run.as_of_time, run.model_hash)
        stored = self.store.model(run.model_hash) if run.model_hash else None
        tried = trials(self.store, rec.name, run.as_of_time, run.as_of_seq).model
        if tried is not None:
            there = authority(rec, "probable", promised, run.as_of_time, tried.model_hash)
            allowed = with_model(allowed, there)
        said = self.store.decisions_now()
        return stories.Asked(run.run_id, stored, allowed, said, run.as_of_seq, tried)
