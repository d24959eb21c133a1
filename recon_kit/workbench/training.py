"""Training: what people decided becomes a model, which stays a candidate until it is promoted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from recon_kit.errors import SettingsError
from recon_kit.matching import cascade
from recon_kit.model import StoredModel
from recon_kit.present.live import while_running
from recon_kit.present.modelcard import ModelView
from recon_kit.resolution import governance
from recon_kit.resolution.identity import reviewer_name
from recon_kit.settings import Reconciliation
from recon_kit.tuning import examples
from recon_kit.tuning import labels as label_room
from recon_kit.workbench.deciding import Deciding
from recon_kit.workbench.face import Progress, quiet

# What `resolution.standing` says of decisions that may teach; any other state is asked again.
_STANDING = ("in force", "replaced", "unsure")
_SAID = ["left_key", "right_key", "verdict", "reviewer"]


class Training(Deciding):
    """Models made from decisions."""

    @while_running
    def train(
        self,
        reconciliation: str | None = None,
        *,
        labels: Path | str | None = None,
        seed: int | None = None,
        by: str | None = None,
        progress: Progress = quiet,
    ) -> ModelView:
        """Train a match-probability model on the decisions in force, and propose it.

        Nothing scores with it before it is promoted. The same labels, facts and seed give the
        same model.

        Args:
            reconciliation: needed where several are declared.
            labels: a CSV of labels to bring in first, as decisions (see `import_labels`); what
                is in force already is not recorded again.
            seed: of every draw; the setting's, where not given.
            by: who proposes the model; see `reviewer_name`.
            progress: told each stage.

        Raises:
            MatchingError: the two sides have nothing that could be compared.
            LabelError: the CSV cannot be read.
        """
        rec = self._one(reconciliation)
        if not rec.probable.enabled:
            raise SettingsError(
                f"reconciliation {rec.name!r} does not use the method `probable`; set enabled = "
                "true under [reconciliations.probable] to train a model for it"
            )
        who = reviewer_name(self.settings.workspace, by)
        refused = self._bring_in(rec, Path(labels)) if labels else None
        model, card = self._trained(rec, seed, progress)
        proposed = self._propose(model, who)
        used = governance.model_in_use(
            self.store.rows("models"), self.store.rows("approvals"), rec.name
        )
        return ModelView(card, model.model_hash, used, proposed, refused)

    def _trained(
        self, rec: Reconciliation, seed: int | None, progress: Progress
    ) -> tuple[StoredModel, Mapping[str, Any]]:
        """Train on the facts and decisions of now: the model and its card."""
        from recon_kit.tuning.train import train

        states = self.decisions(rec.name).frame
        draws = self.store.rows("audit_draws").filter(pl.col("reconciliation") == rec.name)
        snapshot = self.store.snapshot()
        known = examples.examples(
            snapshot.decisions(),
            rec,
            drawn=draws["event_key"].to_list(),
            asked_again=states.filter(~pl.col("state").is_in(_STANDING))["seq"].to_list(),
        )
        place = self.settings.workspace
        precedence = {s.name: s.precedence for s in self.settings.sources}
        rules = governance.rules(
            self.store.rows("rules"), self.store.rows("approvals"), rec.name, self.now()
        )
        with snapshot.engine(precedence=precedence) as engine:
            context = cascade.MatchingContext(
                as_of=self.now(), timezone=place.timezone, holidays=place.holidays, rules=rules
            )
            progress(f"{rec.name}: what no key matches")
            start = cascade.leave_open(engine, rec, context)
            made = train(engine, rec, known, seed, start=start, progress=progress)
            return made.model, made.card

    def _bring_in(self, rec: Reconciliation, file: Path) -> pl.DataFrame:
        """Record the labels of a file that are not in force yet; returns the unusable rows."""
        now = self._clock()
        snapshot = self.store.snapshot()
        with snapshot.engine() as engine:
            found = label_room.resolve(
                engine, label_room.read_labels(file), rec, now,
                draws=self.store.rows("audit_draws"),
            )  # fmt: skip
        mine = snapshot.decisions().filter(pl.col("reconciliation") == rec.name)
        new = found.decisions.join(mine, on=_SAID, how="anti", nulls_equal=True)
        if not new.is_empty():
            self.store.add_decisions(new, recorded_at=now)
        return found.problems

    def _propose(self, model: StoredModel, who: str) -> bool:
        """Keep a model and say that it is proposed; false where it was proposed before."""
        words = self.store.rows("approvals")
        known = (words["content_hash"] == model.model_hash) & (words["kind"] == governance.MODEL)
        if words.filter(known).height:
            return False
        row = {
            "content_hash": [model.model_hash], "kind": [governance.MODEL], "approver": [who],
            "verdict": ["proposed"],
        }  # fmt: skip
        # proposed first: a model without this word would be one that a run learned
        self.store.append("approvals", pl.DataFrame(row), self._clock())
        self.store.add_model(model)
        return True
