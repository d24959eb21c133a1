"""The model card as people read it: what was learned, what it is worth, what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from recon_kit.present import tables
from recon_kit.present.drawing import Chart
from recon_kit.present.rows import RowsView
from recon_kit.present.show import View
from recon_kit.present.tables import Column
from recon_kit.safe import prose_html

_CHOSEN = {
    "unsupervised": "Splink's model, learned without labels",
    "odds": "Splink's model, learned with labels",
    "classifier": "Splink's model with labels, corrected by a classifier",
}
_MODELS = {
    "unsupervised": "without labels", "odds": "with labels", "classifier": "classifier",
}  # fmt: skip
_ON = {"folds": "in turn", "latest": "the latest"}
_LEFT_OUT = {
    "audit": "of the audit sample", "audited_event": "on events of the audit sample",
    "made_by_a_rule": "made by a rule", "unsure": "unsure", "stream_unknown": "of no known stream",
    "said_anew": "replaced by a later word", "contradicted": "contradicted by a later word",
    "asked_again": "disputed, or on facts that have changed (`recon decisions` lists them)",
}  # fmt: skip
_SHOWN = {
    "log_loss": "Log-loss (0 is best)",
    "f1": "F1 from probability 0.5 on",
    "precision_at_recall_90": "Right ones, where 9 in 10 true pairs are found",
    "recall_at_precision_99": "True pairs found, where 99 in 100 are right",
}
_FIGURES = (
    Column("metric", "On labelled events held out"),
    Column("without labels", "Without labels", "figure"),
    Column("with labels", "With labels", "figure"),
    Column("classifier", "Classifier", "figure"),
)


@dataclass(frozen=True, repr=False)
class ModelView(View):
    """A trained model by its card.

    `in_use` is the hash of the model that runs score with now, `proposed` whether this training
    proposed it, `refused` the rows of a CSV that could not be brought in.
    """

    card: Mapping[str, Any]
    model_hash: str
    in_use: str | None = None
    proposed: bool = True
    refused_rows: pl.DataFrame | None = None

    @property
    def frame(self) -> pl.DataFrame:
        """Every figure with its interval: model, on, metric, value, low, high."""
        return pl.DataFrame(list(self.card["figures"]), schema=_FIGURE_TYPES)

    @property
    def refused(self) -> int:
        """How many rows of the CSV were not brought in."""
        return 0 if self.refused_rows is None else self.refused_rows.height

    def lines(self) -> list[str]:
        """What was made, from what, and what it supports."""
        card, labels = self.card, self.card["labels"]
        short = self.model_hash[:12]
        state = "in use" if self.model_hash == self.in_use else "a candidate, no run uses it yet"
        again = "" if self.proposed else "; the same labels and seed had given it before"
        told = [
            f"Model {short} of {card['reconciliation']}: {state}{again}.",
            f"It is {_CHOSEN[card['chosen']]}: {card['why']}.",
            *_worth(card["gains"], labels.get("lacking", "")),
        ]
        told.append(
            f"Learned from {card['rows']['left']:,} left and {card['rows']['right']:,} right "
            f"events that no key matched; {_counted(labels['events'], labels['kinds'])}."
        )
        unused = {_LEFT_OUT.get(name, name): n for name, n in labels["left_out"].items()}
        unused |= {"on events that no model is asked about": labels["not_open"]}
        unused = {name: n for name, n in unused.items() if n}
        if unused:
            told.append(
                "Not used: " + ", ".join(f"{n:,} {name}" for name, n in unused.items()) + "."
            )
        apart = labels["never_compared"]
        if apart:
            told.append(
                f"{apart:,} {'label names' if apart == 1 else 'labels name'} a pair with too "
                "little in common to be compared: a model misses such pairs, or the labels are "
                "wrong."
            )
        told += list(card["supports"])
        told.append(f"Calibration: {card['calibration']}.")
        if card["unseen"]:
            first, more = card["unseen"][0], len(card["unseen"]) - 1
            others = f" and {more} others" if more else ""
            told.append(
                f"Of {len(card['weights'])} ways in which two events may compare, no true pair so "
                f'far showed "{first}"{others}: what these count for is assumed, not learned.'
            )
        if self.refused and self.refused_rows is not None:
            row = self.refused_rows.row(0, named=True)
            told.append(
                f"{self.refused:,} rows of the file were not brought in; row {row['row']}: "
                f"{row['message']}."
            )
        return told

    def next_steps(self) -> str:
        """What to do with the model."""
        if self.model_hash == self.in_use:
            return "Next: `recon certify` proves a threshold for it"
        name, short = self.card["reconciliation"], self.model_hash[:12]
        missing = self.card["labels"].get("missing")
        lacking = self.card["labels"].get("lacking")
        measured = bool(self.card["figures"])
        if self.card["chosen"] == "unsupervised" and measured:
            return (
                f"Next: look again at the labels (`recon decisions {name}`); what "
                "is wrong among them, undo or decide anew, and train again"
            )
        if self.card["chosen"] == "unsupervised" and missing:
            return (
                f"Next: decide on {missing:,} pairs in notebook 03 (or `recon labels import`) and "
                "train again; only then a figure says how often it is right"
            )
        further = [f"{missing:,} more labelled events"] if missing else []
        further += [f"above all {lacking}" if missing else lacking] if lacking else []
        more = f"; {', '.join(further)} tell more" if further else ""
        return (
            f"Next: `recon compare {name} --change {short}` shows what it would change; `recon "
            f"promote {short}` asks for approval, after which `recon run` and `recon certify` use "
            f"it{more}"
        )

    def charts(self) -> list[Chart]:
        """The weights, and where pairs were held out their reliability."""
        from recon_kit.present import modelcharts  # loads altair, which takes a second

        found = [modelcharts.weights(pl.DataFrame(self.card["weights"]))]
        as_is = self.card["calibration"].startswith("not calibrated")
        bands = [
            pl.DataFrame(rows).with_columns(side=pl.lit("as it is" if as_is else side))
            for side, rows in self.card["reliability"].items()
            if rows and not (as_is and side == "after")
        ]
        if bands:
            after = "" if as_is else " before and after calibration"
            caption = f"What was said and what was found, held out{after}"
            found.insert(0, modelcharts.reliability(pl.concat(bands), caption))
        return found

    def figures(self) -> RowsView:
        """Every figure with its interval, and what each metric means."""
        numbers = ("value", "low", "high")
        told = self.frame.with_columns(
            *(pl.col(n).map_elements("{:.4f}".format, return_dtype=pl.String) for n in numbers),
            model=pl.col("model").replace(_MODELS),
            on=pl.col("on").replace(_ON),
            metric=pl.col("metric").str.replace_all("_", " "),
        )
        meant = tuple(
            f"{name.replace('_', ' ')}: {said}." for name, said in self.card["metrics"].items()
        )
        if told.is_empty():
            meant = ("Nothing was measured: there are too few labelled events.",)
        columns = [Column(n, n.capitalize()) for n in ("model", "on", "metric")]
        columns[1] = Column("on", "Held out")
        columns += [Column(n, n.capitalize(), "figure") for n in numbers]
        return RowsView("Figures on labelled events held out", told, meant, tuple(columns))

    def html(self) -> str:
        """The sentences, the figures, the charts."""
        first, *rest = self.lines()
        said = f"<p><strong>{prose_html(first)}</strong></p>"
        said += f"<ul>{''.join(f'<li>{prose_html(line)}</li>' for line in rest)}</ul>"
        said += f"<p><strong>{prose_html(self.next_steps())}</strong></p>"
        figures = self._figures()
        if figures.height:
            said += tables.html(figures, _FIGURES, caption="How good it is")
            said += f'<p class="rk-note">{prose_html(_FIGURES_NOTE)}</p>'
        drawn = "".join(chart.figure() for chart in self.charts())
        return f'<section class="rk">{said}{drawn}</section>'

    def text(self) -> str:
        """The same as plain text; charts as their descriptions."""
        figures = self._figures()
        table = [tables.plain(figures, _FIGURES), _FIGURES_NOTE] if figures.height else []
        drawn = [chart.description for chart in self.charts()]
        return "\n".join([*self.lines(), *table, *drawn, self.next_steps()])

    def as_dict(self) -> dict[str, Any]:
        """The card, the model's hash and its state."""
        return {
            "model_hash": self.model_hash, "in_use": self.in_use, "proposed": self.proposed,
            "refused": self.refused, "next": self.next_steps(), "card": dict(self.card),
        }  # fmt: skip

    def _figures(self) -> pl.DataFrame:
        """A row per metric and held-out set, a column per model, as text with its interval."""
        rows: dict[tuple[str, str], dict[str, str]] = {}
        for row in self.card["figures"]:
            if row["metric"] not in _SHOWN or row["value"] is None:
                continue
            where = "" if row["on"] == "folds" else ", latest"
            key = (row["on"], _SHOWN[row["metric"]] + where)
            line = rows.setdefault(key, {"metric": key[1]})
            line[_MODELS[row["model"]]] = _figure(row)
        names = ["metric", *_MODELS.values()]
        return pl.DataFrame(
            [[row.get(name) for name in names] for row in rows.values()],
            schema=dict.fromkeys(names, pl.String),
            orient="row",
        )


_FIGURE_TYPES = {
    "model": pl.String, "on": pl.String, "metric": pl.String, "value": pl.Float64,
    "low": pl.Float64, "high": pl.Float64,
}  # fmt: skip


_FIGURES_NOTE = (
    "Value, and 95 % interval over connected components, never narrower than the exact one. "
    "Latest: the newest quarter of the events, by a model of the earlier ones."
)


def _figure(row: Mapping[str, Any]) -> str:
    """A value with its interval: the log-loss as it is, all else in percent."""
    value, low, high = (row[name] for name in ("value", "low", "high"))
    if row["metric"] == "log_loss":
        return f"{value:.4f} ({low:.4f} to {high:.4f})"
    return f"{value:.1%} ({low * 100:.1f} to {high * 100:.1f})"


def _worth(gains: Mapping[str, Mapping[str, float]], lacking: str) -> list[str]:
    """Whether the labels made the model better than none would have, as far as they can tell."""
    gain = gains.get("odds over unsupervised, folds")
    if gain is None:
        return []
    low, high = gain["low"], gain["high"]
    fell, rose = low > 0, high < 0
    size = abs(gain["gain"])
    least, most = sorted((abs(low), abs(high)))
    by = f"{_size(size)} (95 %: {_size(least)} to {_size(most)})"
    if fell and lacking:
        said = (
            f"With its labels it answers better where they speak, log-loss lower by {by}. Whether "
            f"it became too sure elsewhere they cannot tell: that takes {lacking}."
        )
    elif fell:
        said = f"With its labels it answers better than without: log-loss lower by {by}."
    elif rose:
        said = f"With labels it would answer worse than without: log-loss higher by {by}."
    else:
        said = (
            "Whether labels make it better is not sure: log-loss lower by between "
            f"{_signed(low)} and {_signed(high)} (95 %)."
        )
    return [said]


def _size(number: float) -> str:
    """Four places, and never a zero that is none."""
    return f"{number:.4f}" if number >= 0.00005 or number == 0 else "less than 0.0001"


def _signed(number: float) -> str:
    return f"{number:+.4f}".replace("-0.0000", "0.0000").replace("+0.0000", "0.0000")


def _counted(events: int, kinds: Mapping[str, int]) -> str:
    words = {
        "counterpart": "with a counterpart", "none": "without one",
        "not_this": "of which only a wrong partner is known",
    }  # fmt: skip
    told = ", ".join(f"{n:,} {words[kind]}" for kind, n in kinds.items())
    return f"labelled events: {events:,} ({told})" if told else "no labelled event"
