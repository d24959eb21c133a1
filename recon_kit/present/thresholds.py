"""The chart of a sweep: what every threshold brings, with a cursor to move along it.

In JupyterLab the cursor follows the pointer; on paper it stands where it stood at first: at the
proposed point, else at the threshold in force or the one that the settings ask for.
"""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import polars as pl

from recon_kit.present.drawing import ACCENT, ALERT, INK, QUIET, SOFT, WIDTH, Chart

_TICKS = (0.2, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999)
_MEASURES = ("by count", "by money")


def threshold_chart(
    table: pl.DataFrame,
    at: float,
    fmr_max: float,
    caption: str = "What a threshold brings",
    *,
    mark: str = "proposed",
) -> Chart:
    """Share matched and estimated wrong share over the threshold.

    Args:
        table: `sweep.SWEEP_SCHEMA` at one margin.
        at: where the cursor stands at first.
        fmr_max: the rate that must be kept, drawn as a line.
        caption: heading of the chart.
        mark: what `at` is (proposed, now); empty: nothing, it is not marked.
    """
    data = table.sort("threshold").with_columns(
        x=-(1 - pl.col("threshold")).clip(1e-6).log10(), said=_said()
    )
    cursor = alt.selection_point(
        name="cursor", nearest=True, on="pointermove", clear=False, fields=["threshold"],
        value=[{"threshold": at}],
    )  # fmt: skip
    labelled = data["fmr"].drop_nulls().len() > 0
    panels = [_shares(data, cursor, at, mark)]
    panels += [_wrong(data, cursor, fmr_max)] if labelled else []
    row = data.filter(pl.col("threshold") == at)
    told = row["said"][0] if row.height else "no threshold"
    return Chart(
        alt.vconcat(*panels, spacing=14).resolve_scale(x="shared"),
        caption,
        f"{caption}: at {told}.",
        table,
    )


def _said() -> pl.Expr:
    """What the cursor says of a threshold."""
    wrong = pl.format(
        ", wrong {} % (at most {} %)",
        (pl.col("fmr") * 100).round(2),
        (pl.col("fmr_high") * 100).round(2),
    )
    matched = pl.format(
        "From {} on: {} % matched", pl.col("threshold").round(6),
        (pl.col("auto_share") * 100).round(1),
    )  # fmt: skip
    return matched + wrong.fill_null("") + pl.format(", {} items to people", "review_items")


def _axis() -> Any:
    ticks = [round(-math.log10(1 - t), 6) for t in _TICKS]
    return alt.X(
        "x:Q",
        title="threshold: a match needs at least this confidence",
        axis=alt.Axis(values=ticks, labelExpr="format(1 - pow(10, -datum.value), '~g')"),
    )


def _shares(data: pl.DataFrame, cursor: Any, at: float, mark: str) -> Any:
    """Share of the picks that need nobody, by count and by money, and the cursor's words."""
    long = data.select(
        "x", "threshold", pl.col("auto_share").alias("by count"),
        pl.col("auto_money_share").alias("by money"),
    ).unpivot(index=["x", "threshold"], variable_name="measure", value_name="share")  # fmt: skip
    colours = alt.Scale(domain=list(_MEASURES), range=[ACCENT, SOFT])
    least = min(0.9, float(long["share"].min() or 0))  # type: ignore[arg-type]
    scale = alt.Scale(domain=[max(0, math.floor(least * 10 - 0.5) / 10), 1])
    lines = alt.Chart(long).mark_line(strokeWidth=2.25).encode(
        x=_axis(),
        y=alt.Y("share:Q", title="matched without a person", scale=scale,
                axis=alt.Axis(format=".0%", tickCount=5)),
        color=alt.Color("measure:N", scale=colours),
    )  # fmt: skip
    height = alt.Y("auto_share:Q", scale=scale)
    catch = alt.Chart(data).mark_point(opacity=0).encode(x=_axis(), y=height)
    words = (
        alt.Chart(data)
        .mark_text(align="left", baseline="bottom", fill=INK, fontSize=12)
        .encode(x=alt.value(4), y=alt.value(-6), text="said:N")
        .transform_filter(cursor)
    )
    here = alt.Chart(data.filter(pl.col("threshold") == at))
    dot = here.mark_point(size=70, filled=True, opacity=1, color=ACCENT).encode(x=_axis(), y=height)
    name = here.mark_text(align="right", dx=-8, dy=14, fill=SOFT, fontSize=12, text=mark).encode(
        x=_axis(), y=height
    )
    cross = _rule(data, cursor) + catch.add_params(cursor)
    marked = [dot, name] if mark else []
    return alt.layer(lines, cross, words, *marked).properties(width=WIDTH - 40, height=170)


def _wrong(data: pl.DataFrame, cursor: Any, fmr_max: float) -> Any:
    """Estimated wrong share with its interval, and the line it must stay under."""
    top = min(1.0, max(3 * fmr_max, float(data["fmr"].max() or 0) * 1.3))  # type: ignore[arg-type]
    scale = alt.Scale(domain=[0, top], clamp=True)
    axis = alt.Axis(format=".1%", tickCount=4)
    base = alt.Chart(data.drop_nulls("fmr"))
    band = base.mark_area(opacity=0.15, color=ACCENT).encode(
        x=_axis(), y=alt.Y("fmr_low:Q", scale=scale, title="wrong, estimated", axis=axis),
        y2="fmr_high:Q",
    )  # fmt: skip
    line = base.mark_line(strokeWidth=2.25, color=ACCENT).encode(
        x=_axis(), y=alt.Y("fmr:Q", scale=scale, title="wrong, estimated", axis=axis)
    )
    limit = alt.Chart(pl.DataFrame({"limit": [fmr_max]})).mark_rule(
        color=ALERT, strokeDash=[4, 3]
    ).encode(y=alt.Y("limit:Q", scale=scale))  # fmt: skip
    said = alt.Chart(pl.DataFrame({"limit": [fmr_max]})).mark_text(
        align="left", baseline="bottom", dy=-3, fill=ALERT, fontSize=12,
        text=f"to be kept: at most {fmr_max:.1%} wrong",
    ).encode(x=alt.value(4), y=alt.Y("limit:Q", scale=scale))  # fmt: skip
    return (band + line + limit + said + _rule(data, cursor)).properties(
        width=WIDTH - 40, height=130
    )


def _rule(data: pl.DataFrame, cursor: Any) -> Any:
    return alt.Chart(data).mark_rule(color=QUIET).encode(x=_axis()).transform_filter(cursor)
