"""Charts of a trained model: what counts, and how much; whether its probabilities hold."""

from __future__ import annotations

import altair as alt
import polars as pl

from recon_kit.present.drawing import ACCENT, ALERT, LINE, PAPER, SOFT, WIDTH, Chart

_PER_COMPARISON = 8  # levels drawn of each comparison: those that weigh most, for or against


def weights(card_weights: pl.DataFrame, caption: str = "What counts, and how much") -> Chart:
    """Match weight of levels in bits, with labels (bars) and without (marks).

    Args:
        card_weights: `comparison, level, weight, weight_without_labels`, in the model's order.
        caption: heading of the chart.
    """
    data = (
        card_weights.with_row_index("place")
        .filter(
            pl.col("weight").abs().rank("ordinal", descending=True).over("comparison")
            <= _PER_COMPARISON
        )
        .with_columns(
            name=pl.col("comparison") + ": " + pl.col("level"), speaks=pl.col("weight") > 0
        )
        .sort("place")
        .drop("place")
    )
    left_out = card_weights.height - data.height
    longest = max([0, *data["name"].str.len_chars()])
    axis = alt.Axis(labelLimit=320, minExtent=min(320, 7 * longest))
    base = alt.Chart(data).encode(
        y=alt.Y("name:N", sort=data["name"].to_list(), title=None, axis=axis)
    )
    bars = base.mark_bar(height=11, cornerRadius=1).encode(
        x=alt.X("weight:Q", title="match weight: each step doubles the odds"),
        color=alt.condition("datum.speaks", alt.value(ACCENT), alt.value(ALERT)),
    )
    marks = base.mark_tick(thickness=2, size=13, color=SOFT).encode(x="weight_without_labels:Q")
    same = data["weight"].equals(data["weight_without_labels"])
    legend = "for a match to the right, against it to the left"
    legend += "" if same else "; a mark: without labels"
    ranked = card_weights.sort("weight").to_dicts()
    ends = (("most for a match", ranked[-1:]), ("most against", ranked[:1]))
    told = [
        f"{what}: {row['comparison']}, {row['level']} ({row['weight']:+.1f} bits)"
        for what, rows in ends
        for row in rows
    ]
    more = f"; {left_out} weaker ones are not drawn" if left_out else ""
    return Chart(
        (bars if same else bars + marks).properties(width=WIDTH - 330, height=alt.Step(18)),
        f"{caption}: {legend}",
        f"{caption}: {'; '.join(told)}; a mark shows the weight without labels{more}.",
        data,
    )


def reliability(bands: pl.DataFrame, caption: str = "Said and found") -> Chart:
    """Probability that a model said against the share of pairs that was true, by bands.

    Args:
        bands: `side` (before and after, or one alone), `said, found, found_low, found_high,
            pairs`.
        caption: heading of the chart.
    """
    data = bands.sort("side", "said")
    sides = data["side"].unique().sort(descending=True).to_list()
    scale = alt.Scale(domain=[0, 1])
    axis = alt.Axis(format=".0%", tickCount=5)
    line = pl.DataFrame({"said": [0.0, 1.0], "found": [0.0, 1.0]})
    base = alt.Chart(data).encode(
        x=alt.X("said:Q", title="probability said", scale=scale, axis=axis),
        color=alt.Color(
            "side:N",
            title=None,
            scale=alt.Scale(domain=sides, range=[SOFT, ACCENT][-len(sides) :]),
            legend=alt.Legend() if len(sides) > 1 else None,
        ),
    )
    diagonal = (
        alt.Chart(line).mark_line(color=LINE, strokeDash=[4, 4]).encode(x="said:Q", y="found:Q")
    )
    spread = base.mark_rule(strokeWidth=1.5, opacity=0.5).encode(
        y=alt.Y("found_low:Q", title="share that is true", scale=scale, axis=axis),
        y2="found_high:Q",
    )
    dots = base.mark_point(strokeWidth=2, opacity=1, fill=PAPER).encode(
        y="found:Q",
        size=alt.Size("pairs:Q", scale=alt.Scale(type="sqrt", range=[40, 400]), legend=None),
    )
    told = [
        f"{side}: " + ", ".join(
            f"{row['said']:.0%} said and {row['found']:.0%} found ({row['pairs']:,} pairs)"
            for row in data.filter(pl.col("side") == side).to_dicts()
        )
        for side in sides
    ]  # fmt: skip
    return Chart(
        (diagonal + spread + dots).properties(width=260, height=260),
        f"{caption}: the larger a ring, the more pairs",
        f"{caption}: {'; '.join(told) or 'no held-out pair'}.",
        data,
    )
