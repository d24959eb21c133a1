"""Charts that need no network: drawn by Vega in JupyterLab, as SVG everywhere else.

A chart function takes a small aggregated frame and gives a `Chart`: the Altair chart, a sentence
that says what it shows (read by screen readers, printed in a terminal), and its caption. Amounts
become floats only as coordinates of ink; every amount in words is exact text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from recon_kit.present import tables
from recon_kit.present.drawing import (
    ACCENT,
    ALERT,
    HALF,
    INK,
    PAPER,
    QUIET,
    SOFT,
    WIDTH,
    Chart,
    Charts,
    bundle,
    theme,
    to_svg,
)

__all__ = [
    "AGE_BUCKETS",
    "OPEN_STATES",
    "Chart",
    "Charts",
    "age_buckets",
    "ageing",
    "bundle",
    "enable",
    "lengths",
    "matched_share",
    "open_by_state",
    "theme",
    "time_to_reconcile",
    "to_svg",
    "waterfall",
]

# Vermilion for what is late, the accent for what waits for a person, grey for what is in order.
_PLACES = alt.Scale(type="threshold", domain=[1.5, 2.5], range=[ALERT, ACCENT, QUIET])
OPEN_STATES = ("overdue", "residual", "proposed", "in_flight", "not_covered")


def enable() -> None:
    """Make Altair show every chart of this session offline, in the house's theme.

    JupyterLab draws the chart itself; a report shows the SVG. Altair's own renderer would load
    scripts from the network.
    """
    alt.renderers.register("recon", _renderer)
    alt.renderers.enable("recon")
    alt.theme.register("recon", enable=True)(_theme)


def matched_share(
    weekly: pl.DataFrame, caption: str = "Matched share by week", *, half: bool = False
) -> Chart:
    """Matched share of each week's left events, by count and by money.

    Args:
        weekly: `week` (text, sorts by time), `measure` (such as `by count`), `share` (0 to 1),
            `mature` (whether the settlement time of the whole week has passed); with `currency`
            each measure is one line per currency.
        caption: heading of the chart.
        half: whether it stands beside another one.
    """
    by_currency = pl.col("measure") + pl.coalesce(", " + pl.col("currency"), pl.lit(""))
    measure = by_currency if "currency" in weekly.columns else pl.col("measure")
    data = (
        weekly.select("week", measure, "share", "mature")
        .drop_nulls("share")
        .sort("measure", "week")
    )
    low = min([0.9, *data["share"]]) if data.height else 0.0
    floor = max(0.0, int(low * 20) / 20)
    measures = data["measure"].unique().sort().to_list()
    weeks = data["week"].unique().sort().reverse().gather_every(2 if half else 1).to_list()
    short = alt.Axis(labelAngle=0, values=weeks, labelExpr="slice(datum.value, 5)")
    base = alt.Chart(data).encode(
        x=alt.X("week:O", title=None, axis=short),
        y=alt.Y("share:Q", title=None, scale=alt.Scale(domain=[floor, 1.0], clamp=True),
                axis=alt.Axis(format=".0%", tickCount=5)),
        color=alt.Color("measure:N", scale=_scale(measures)),
    )  # fmt: skip
    line = base.mark_line(strokeWidth=2.25).encode(
        strokeDash=alt.StrokeDash("measure:N", legend=None)
    )
    dots = base.mark_point(size=46, strokeWidth=2, opacity=1).encode(
        fill=alt.condition("datum.mature", alt.Color("measure:N", scale=_scale(measures)),
                           alt.value(PAPER)),
    )  # fmt: skip
    told = [
        f"{measure}: from {_at(rows, 0)} to {_at(rows, -1)}"
        for measure in measures
        for rows in [data.filter(pl.col("measure") == measure)]
    ]
    note = "" if data["mature"].all() else " Hollow points: the week is not mature yet."
    return Chart(
        (line + dots).properties(width=HALF if half else WIDTH, height=120 if half else 180),
        caption,
        f"{caption}, {'; '.join(told) or 'no mature week yet'}.{note}",
        data,
        half,
    )


def open_by_state(
    open_money: pl.DataFrame, caption: str = "Open amount by state", *, half: bool = False
) -> Chart:
    """Open money by state, one row of bars for each currency, each on its own scale.

    Args:
        open_money: `state, currency, amount_minor, items`.
        caption: heading of the chart.
        half: whether it stands beside another one.
    """
    order = {state: place for place, state in enumerate(OPEN_STATES)}
    data = (
        open_money.filter(pl.col("currency").is_not_null())
        .with_columns(
            exact=tables.money_text(pl.col("amount_minor"), pl.col("currency")),
            place=pl.col("state").replace_strict(order, default=9, return_dtype=pl.Int64),
        )
        .with_columns(
            size=pl.col("exact").str.replace_all(",", "").cast(pl.Float64).abs(),
            name=pl.col("state").str.replace_all("_", " "),
            label=pl.col("exact") + "  (" + pl.col("items").cast(pl.String) + ")",
            share=pl.col("amount_minor").abs()
            / pl.col("amount_minor").abs().max().over("currency"),
        )
        .sort("currency", "place", "state")
    )
    names = [s.replace("_", " ") for s in OPEN_STATES]
    base = alt.Chart(data.select("currency", "name", "share", "label", "place")).encode(
        y=alt.Y("name:N", title=None, sort=names, axis=alt.Axis(minExtent=90)),
        x=alt.X(
            "share:Q", title=None, axis=None, scale=alt.Scale(domain=[0, 2.1 if half else 1.45])
        ),
    )
    bars = base.mark_bar(height=14, cornerRadiusEnd=1).encode(
        color=alt.Color("place:Q", legend=None, scale=_PLACES)
    )
    words = base.mark_text(align="left", dx=6, fill=INK).encode(text="label:N")
    layered = (bars + words).properties(
        width=HALF - 70 if half else WIDTH - 100, height=alt.Step(24)
    )
    header = alt.Header(labelAngle=0, labelAlign="left", labelOrient="top")
    drawn: Any = layered
    if data["currency"].n_unique() > 1:
        row = alt.Row("currency:N", title=None, header=header)
        drawn = layered.facet(row=row).resolve_scale(y="independent")
    told = "; ".join(
        f"{row['name']} {row['exact']} {row['currency']} in {row['items']:,} items"
        for row in data.to_dicts()
    )
    return Chart(drawn, caption, f"{caption}: {told or 'nothing is open'}.", data, half)


AGE_BUCKETS: Sequence[tuple[str, float]] = (
    ("under 1", 1), ("1 to 3", 3), ("3 to 7", 7), ("7 to 14", 14),
    ("14 to 30", 30), ("30 to 60", 60), ("over 60", float("inf")),
)  # fmt: skip


_SHORT_AGE = "replace(replace(replace(datum.value, ' to ', '-'), 'under ', '<'), 'over ', '>')"


def ageing(ages: pl.DataFrame, caption: str = "Age of open items", *, half: bool = False) -> Chart:
    """How long open items have been open, counted by age.

    Args:
        ages: `bucket` (a name of `AGE_BUCKETS`), `items`; see `age_buckets`.
        caption: heading of the chart.
        half: whether it stands beside another one.
    """
    names = [name for name, _ in AGE_BUCKETS]
    data = (
        pl.DataFrame({"bucket": names, "place": range(len(names))})
        .join(ages.select("bucket", "items"), on="bucket", how="left")
        .with_columns(pl.col("items").fill_null(0))
        .sort("place")
    )
    base = alt.Chart(data).encode(
        x=alt.X(
            "bucket:O",
            sort=names,
            title="days open",
            axis=alt.Axis(labelAngle=0, labelExpr=_SHORT_AGE),
        ),
        y=alt.Y("items:Q", title=None, axis=None),
    )
    bars = base.mark_bar(width=28 if half else 46, cornerRadiusEnd=1).encode(
        color=alt.condition("datum.place > 4", alt.value(ALERT), alt.value(ACCENT))
    )
    words = base.mark_text(dy=-8, fill=INK).encode(text=alt.Text("items:Q", format=","))
    told = ", ".join(f"{row['items']:,} at {row['bucket']} days" for row in data.to_dicts())
    return Chart(
        (bars + words).properties(width=HALF if half else WIDTH, height=120 if half else 150),
        caption,
        f"{caption}: {told}.",
        data,
        half,
    )


def age_buckets(days: pl.Series) -> pl.DataFrame:
    """Ages in days, counted by `AGE_BUCKETS`: `bucket, items`."""
    edges = pl.Series([edge for _, edge in AGE_BUCKETS[:-1]])
    known = days.drop_nulls().cast(pl.Float64)
    names = pl.Series("bucket", [name for name, _ in AGE_BUCKETS])
    counted = names.gather(edges.search_sorted(known, side="right")).value_counts(name="items")
    return counted.with_columns(pl.col("items").cast(pl.Int64)).sort("bucket")


def time_to_reconcile(
    curve: pl.DataFrame, caption: str = "Time to reconcile", *, half: bool = False
) -> Chart:
    """Share of left events reconciled within a number of days (one minus Kaplan-Meier).

    Args:
        curve: `days`, `share` (0 to 1, never falling); with `low` and `high` a band is drawn.
        caption: heading of the chart.
        half: whether it stands beside another one.
    """
    data = curve.drop_nulls("share").sort("days")
    base = alt.Chart(data).encode(
        x=alt.X(
            "days:Q",
            title="days since the first fact was received",
            axis=alt.Axis(tickCount=6 if half else 8),
        )
    )
    axis = alt.Y("share:Q", title=None, scale=alt.Scale(domain=[0, 1]),
                 axis=alt.Axis(format=".0%", tickCount=5))  # fmt: skip
    layers = [
        base.mark_line(interpolate="step-after", strokeWidth=2.25, color=ACCENT).encode(y=axis)
    ]
    if {"low", "high"} <= set(data.columns):
        band = base.mark_area(interpolate="step-after", opacity=0.15, color=ACCENT)
        layers.insert(0, band.encode(y=alt.Y("low:Q", title=None), y2="high:Q"))
    some = data.filter(pl.col("share") >= 0.5)
    most = data.filter(pl.col("share") >= 0.9)
    told = [
        f"{words} within {rows['days'][0]:g} days"
        for words, rows in (("half", some), ("nine in ten", most))
        if not rows.is_empty()
    ]
    said = " and ".join(told) if told else "fewer than half are reconciled yet"
    return Chart(
        alt.layer(*layers).properties(width=HALF if half else WIDTH, height=120 if half else 180),
        caption,
        f"{caption}: {said}.",
        data,
        half,
    )


def waterfall(weights: pl.DataFrame, caption: str = "What speaks for and against") -> Chart:
    """The weights of one pair, from the prior to the sum.

    Args:
        weights: `step` (text, in the order in which they count), `weight` (log2 of odds).
        caption: heading of the chart.
    """
    steps = weights.select("step", pl.col("weight").cast(pl.Float64)).with_columns(
        end=pl.col("weight").cum_sum(), kind=pl.lit("step")
    )
    total = pl.DataFrame({"step": ["all together"], "weight": [float(steps["weight"].sum())]})
    data = pl.concat(
        [steps, total.with_columns(end=pl.col("weight"), kind=pl.lit("sum"))]
    ).with_columns(
        start=pl.col("end") - pl.col("weight"),
        kind=pl.when(pl.col("kind") == "sum")
        .then(pl.lit("sum"))
        .when(pl.col("weight") < 0)
        .then(pl.lit("against"))
        .otherwise(pl.lit("for")),
        tip=pl.max_horizontal("end", pl.col("end") - pl.col("weight")),
        label=pl.when(pl.col("weight") > 0).then(pl.lit("+")).otherwise(pl.lit(""))
        + pl.col("weight").round(1).cast(pl.String),
    )
    base = alt.Chart(data).encode(
        y=alt.Y("step:N", sort=data["step"].to_list(), title=None, axis=alt.Axis(labelLimit=260))
    )
    colours = alt.Scale(domain=["for", "against", "sum"], range=[ACCENT, ALERT, SOFT])
    bars = base.mark_bar(height=14, cornerRadius=1).encode(
        x=alt.X("start:Q", title="match weight, log2 of the odds"),
        x2="end:Q",
        color=alt.Color("kind:N", scale=colours, legend=None),
    )
    words = base.mark_text(align="left", dx=6, fill=INK).encode(x="tip:Q", text="label:N")
    drawn = (bars + words).properties(width=WIDTH - 180, height=alt.Step(24))
    told = ", ".join(f"{row['step']} {row['label']}" for row in data.to_dicts())
    return Chart(drawn, caption, f"{caption}: {told}.", data)


def lengths(rows: pl.DataFrame, caption: str, *, unit: str = "") -> Chart:
    """One bar per name, in the order of the rows, each with its value; the first is the accent.

    Args:
        rows: `name` (text, each once), `value` (a number from 0 up).
        caption: heading of the chart.
        unit: written after each value, such as `s`.
    """
    data = rows.select("name", pl.col("value").cast(pl.Float64)).with_row_index("place")
    said = pl.Series("label", [f"{v:,.3g} {unit}".strip() for v in data["value"]])
    data = data.with_columns(said)
    base = alt.Chart(data).encode(
        y=alt.Y("name:N", sort=data["name"].to_list(), title=None, axis=alt.Axis(labelLimit=260)),
        x=alt.X("value:Q", title=None, axis=None),
    )
    bars = base.mark_bar(height=14, cornerRadius=1).encode(
        color=alt.condition("datum.place === 0", alt.value(ACCENT), alt.value(QUIET))
    )
    words = base.mark_text(align="left", dx=6, fill=INK).encode(text="label:N")
    drawn = (bars + words).properties(width=WIDTH - 180, height=alt.Step(24))
    told = ", ".join(f"{row['name']} {row['label']}" for row in data.to_dicts())
    return Chart(drawn, caption, f"{caption}: {told}.", data)


def _renderer(spec: dict[str, Any], **_: object) -> dict[str, Any]:
    return bundle(spec, str(spec.get("description") or "A chart without a description"))


def _theme() -> Any:
    return {"config": theme()}


def _scale(measures: Sequence[str]) -> alt.Scale:
    colours = [ACCENT, SOFT, ALERT, QUIET]
    return alt.Scale(domain=list(measures), range=colours[: max(1, len(measures))])


def _at(rows: pl.DataFrame, place: int) -> str:
    share = pl.select(tables.share_text(pl.lit(float(rows["share"][place])))).item()
    return f"{share} in {rows['week'][place]}"
