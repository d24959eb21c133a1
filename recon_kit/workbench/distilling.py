"""Rules: mined from decisions, proposed, listed; promoting them is another matter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from recon_kit import money
from recon_kit.errors import SettingsError, UnknownNameError
from recon_kit.matching.rules import Rule, parse, read
from recon_kit.present.rows import RowsView
from recon_kit.resolution.approvals import approved, next_step
from recon_kit.resolution.identity import reviewer_name
from recon_kit.settings import Reconciliation
from recon_kit.tuning import distil
from recon_kit.tuning.conjunctions import told
from recon_kit.tuning.distil import Distilled
from recon_kit.workbench import changes
from recon_kit.workbench.face import Face

_NO_HABIT = (
    f"Nothing recurs yet: a rule needs {distil.SUPPORT_MIN} decisions that agree on a text, an "
    "amount or both."
)


class Distilling(Face):
    """What people keep saying, as rules."""

    def distil(self, reconciliation: str | None = None) -> RowsView:
        """Rules that could be made of the decisions so far, and what they would do today.

        Nothing is proposed yet. `.frame` has a row per rule: `name, words, support` (pairs that
        people said are the same and that meet it), `wrong` (pairs it would join that are known to
        be wrong), `precision_bound` (exact lower bound of the share it judges right, paying for
        the number of rules tried), `newest` decision, `would_match`, `would_ask`, `money` and
        `contradicts` (decisions that say otherwise).
        """
        rec = self._one(reconciliation)
        found = self._distilled(rec)
        rows = [
            {
                "name": d.rule.name, "words": d.words, "support": d.support, "wrong": d.wrong,
                "precision_bound": d.rule.precision_bound, "newest": d.newest,
                "would_match": d.matches, "would_ask": d.asks,
                "money": " and ".join(money.display(m, c) for c, m in d.money),
                "contradicts": ", ".join(map(str, d.contradicts)),
            }
            for d in found
        ]  # fmt: skip
        said = "" if found else _NO_HABIT
        return RowsView(
            f"Rules distilled from decisions in {rec.name}", pl.DataFrame(rows), (said,)
        )

    def propose_rules(
        self,
        *names: str,
        file: Path | str | None = None,
        reconciliation: str | None = None,
        author: str | None = None,
    ) -> RowsView:
        """Propose rules; they do nothing until others approve and promote them.

        The notes say who approves, and the command for it; then `promote` puts them in force.

        Args:
            names: of rules that `distil` shows; all of them, where none is named.
            file: a TOML file with rules that a person wrote (`matching.rules.read`), instead.
            reconciliation: whose; needed where several are declared.
            author: who proposes; see `resolution.identity`.

        Raises:
            UnknownNameError: no distilled rule has the name.
            SettingsError: names and a file, or a file for another reconciliation.
            MatchingError: the file says what no rule can say.
        """
        rec = self._one(reconciliation)
        if file is not None:
            self._append_rules(self._written(Path(file), names, rec), rec, author)
            return self.rules(rec.name)
        found = self._distilled(rec)
        known = {d.rule.name: d.rule for d in found}
        for name in names:
            if name not in known:
                raise UnknownNameError("distilled rule", name, known)
        self._append_rules([known[n] for n in names or known], rec, author)
        return self.rules(rec.name)

    def rules(self, reconciliation: str | None = None) -> RowsView:
        """Every proposed rule and where it stands: waiting, approved, in force, expired."""
        rows = self.store.rows("rules").unique("content_hash", keep="first", maintain_order=True)
        if reconciliation is not None:
            rows = rows.filter(pl.col("reconciliation") == reconciliation)
        states = changes.states(self.store, self.settings.governance, reconciliation)
        late = pl.col("expires_at") <= self.now()
        listed = rows.join(
            states.select("content_hash", "state", "said"),
            on="content_hash", how="left", maintain_order="left",
        ).with_columns(state=pl.when(late).then(pl.lit("expired")).otherwise("state"))  # fmt: skip
        texts = [parse(text) for text in listed["json"]]
        shown = listed.select("reconciliation", "state", "author", "expires_at", "content_hash")
        return RowsView(
            "Rules",
            shown.with_columns(
                pl.Series("name", [r.name for r in texts], dtype=pl.String),
                pl.Series("words", [told(r) for r in texts], dtype=pl.String),
                pl.Series("support", [r.support for r in texts], dtype=pl.Int64),
                pl.Series("precision_bound", [r.precision_bound for r in texts], dtype=pl.Float64),
            ),
            (
                "The author cannot approve; `recon promote` puts an approved rule in force.",
                *self._steps(listed.filter(~late)["content_hash"].to_list()),
            ),
            zone=self.settings.workspace.timezone,
        )

    def _steps(self, named: list[str]) -> list[str]:
        """For each rule that is not in force yet, the command that brings it nearer."""
        said, governed = self.store.rows("approvals"), self.settings.governance
        found = [changes.find(self.store, name) for name in named]
        waiting = [c for c in found if not changes.in_force(self.store, c)]
        steps = [next_step(approved(said, governed, c.content_hash), governed) for c in waiting]
        return [step for step in steps if step]

    def _remember(self, rec: Reconciliation) -> str:
        """Propose the rule that explains most decisions, for the review screen."""
        found = self._distilled(rec)
        if not found:
            return _NO_HABIT
        best = found[0]
        new = self._append_rules([best.rule], rec, None)
        done = "Proposed" if new else "Proposed before"
        return (
            f"{done}: {best.words}. {best.support} decisions agree, {best.wrong} pairs speak "
            f"against it; today it would match {best.matches}. "
            "It does nothing until others approve it."
        )

    def _distilled(self, rec: Reconciliation) -> list[Distilled]:
        run = self.store.current_run(rec.name)
        ids = [run.run_id] if run is not None else []
        precedence = {s.name: s.precedence for s in self.settings.sources}
        with self.store.snapshot().engine(runs=ids, precedence=precedence) as engine:
            return distil.distil(engine, rec, self.now(), run_id=ids[0] if ids else None)

    def _written(self, file: Path, names: Sequence[str], rec: Reconciliation) -> tuple[Rule, ...]:
        if names:
            raise SettingsError("name rules that were distilled, or a file with your own, not both")
        if not file.is_file():
            raise SettingsError(f"no such file: {file}")
        written = read(file.read_text(encoding="utf-8"), rec.name, self._clock())
        for rule in written:
            if rule.reconciliation != rec.name:
                raise SettingsError(
                    f"rule {rule.name!r} is for {rule.reconciliation!r}; "
                    f"propose it with --reconciliation {rule.reconciliation}"
                )
        return written

    def _append_rules(self, wanted: Sequence[Rule], rec: Reconciliation, author: str | None) -> int:
        """Append rules whose conditions no living rule of the reconciliation has yet."""
        now = self._clock()
        rows = self.store.rows("rules").filter(
            (pl.col("reconciliation") == rec.name) & (pl.col("expires_at") > now)
        )
        known = [parse(text).conditions for text in rows["json"]]
        new = [rule for rule in wanted if rule.conditions not in known]
        if new:
            frame = pl.DataFrame(
                {
                    "reconciliation": [rec.name] * len(new),
                    "content_hash": [r.content_hash for r in new],
                    "json": [r.text for r in new],
                    "author": [reviewer_name(self.settings.workspace, author)] * len(new),
                    "expires_at": [r.expires for r in new],
                }
            )
            self.store.append("rules", frame, now)
            proposed = frame.select(
                "content_hash", approver="author", kind=pl.lit("rule"), verdict=pl.lit("proposed")
            )
            self.store.append("approvals", proposed, now)
        return len(new)
