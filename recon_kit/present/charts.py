"""Charts that need no network: drawn by Vega in JupyterLab, as SVG everywhere else.

A chart function takes a small aggregated frame and gives a `Chart`: the Altair chart, a sentence
that says what it shows (read by screen readers, printed in a terminal), and its caption. Colours
are CSS variables with fallbacks, so that one drawing is legible on light, dark and paper. Amounts
become floats only as coordinates of ink; every amount in words is exact text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl
import vl_convert as vlc

from recon_kit.present import tables
from recon_kit.present.show import MARK, SVG, TEXT, View, figure, mark

VEGALITE = "application/vnd.vegalite.v5+json"  # what JupyterLab 4.6 draws by itself
VL_VERSION = "6.4"  # of vl-convert: the Vega-Lite that Altair 6 writes
WIDTH = 680

_INK = "var(--rk-ink, var(--jp-content-font-color1, #17202b))"
_SOFT = "var(--rk-soft, var(--jp-content-font-color2, #566270))"
_LINE = "var(--rk-line, var(--jp-border-color2, #dce1e7))"
_ACCENT = "var(--rk-accent, var(--jp-brand-color1, #1d5fa8))"
_ALERT = "var(--rk-alert, var(--jp-warn-color1, #b4480f))"
_PAPER = "var(--rk-paper, var(--jp-layout-color0, #fff))"
_QUIET = "var(--rk-quiet, #9aa7b5)"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# Vermilion for what is late, the accent for what waits for a person, grey for what is in order.
_PLACES = alt.Scale(type="threshold", domain=[1.5, 2.5], range=[_ALERT, _ACCENT, _QUIET])
# Only ids and references: inside quotes and brackets data is escaped and cannot look like these.
_CLIP = re.compile(r'(?<=id=")clip[0-9]+(?=")|(?<=url\(#)clip[0-9]+(?=\))')
OPEN_STATES = ("overdue", "residual", "proposed", "in_flight", "not_covered")


@dataclass(frozen=True, repr=False)
class Chart(View):
    """One chart with the sentence that says what it shows."""

    chart: Any  # altair's own types are generated unions; callers only hand it on
    caption: str
    description: str
    frame: pl.DataFrame

    def spec(self) -> dict[str, Any]:
        """The Vega-Lite specification with theme and description."""
        spec: dict[str, Any] = self.chart.properties(description=self.description).to_dict()
        return spec | {"config": theme()}

    def svg(self) -> str:
        """The drawing as SVG text; nothing is fetched."""
        return to_svg(self.spec())

    def figure(self) -> str:
        """The drawing as an HTML figure with caption and description."""
        return figure(self.svg(), self.description, self.caption)

    def html(self) -> str:
        """The figure as an element of its own."""
        return f'<section class="rk">{self.figure()}</section>'

    def text(self) -> str:
        """Caption and description."""
        return f"{self.caption}. {self.description}"

    def as_dict(self) -> dict[str, Any]:
        """Caption, description and the numbers drawn."""
        return {"caption": self.caption, "description": self.description, "rows": self.frame}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        del include, exclude  # Jupyter drops what it does not want itself
        return bundle(self.spec(), self.text())


@dataclass(frozen=True, repr=False)
class Charts(View):
    """Several charts, one under the other."""

    charts: tuple[Chart, ...]

    def html(self) -> str:
        """Each as a figure."""
        inner = "".join(chart.figure() for chart in self.charts)
        return f'<section class="rk">{inner}</section>'

    def text(self) -> str:
        """Each as its description."""
        return "\n".join(chart.text() for chart in self.charts)

    def as_dict(self) -> dict[str, Any]:
        """Each as its numbers."""
        return {"charts": [chart.as_dict() for chart in self.charts]}


def enable() -> None:
    """Make Altair show every chart of this session offline, in the house's theme.

    JupyterLab draws the chart itself; a report shows the SVG. Altair's own renderer would load
    scripts from the network.
    """
    alt.renderers.register("recon", _renderer)
    alt.renderers.enable("recon")
    alt.theme.register("recon", enable=True)(_theme)


def to_svg(spec: dict[str, Any]) -> str:
    """A Vega-Lite specification as SVG; any URL in it is refused.

    The same specification gives the same text: Vega numbers clip paths through the life of the
    process, so their ids are named anew, by content, which also keeps charts of one page apart.
    """
    drawn = str(vlc.vegalite_to_svg(spec, vl_version=VL_VERSION, allowed_base_urls=[]))
    places = {name: str(place) for place, name in enumerate(dict.fromkeys(_CLIP.findall(drawn)))}
    plain = _CLIP.sub(lambda found: places[found[0]], drawn)
    key = hashlib.sha256(plain.encode()).hexdigest()[:10]
    return _CLIP.sub(lambda found: f"clip-{key}-{places[found[0]]}", drawn)


def bundle(spec: dict[str, Any], description: str) -> dict[str, Any]:
    """The MIME bundle of a chart: Vega-Lite for Lab, marked SVG for reports, and text.

    Lab is told to draw SVG as well: a canvas knows no CSS variables.
    """
    drawing = to_svg(spec)
    spec = {**spec, "usermeta": {"embedOptions": {"renderer": "svg"}}}
    return {VEGALITE: spec, SVG: drawing, TEXT: description, MARK: mark(SVG, drawing)}


def _renderer(spec: dict[str, Any], **_: object) -> dict[str, Any]:
    return bundle(spec, str(spec.get("description") or "A chart without a description"))


def _theme() -> Any:
    return {"config": theme()}


def theme() -> dict[str, Any]:
    """One quiet theme: no frame, faint horizontal grid, one accent, text in the page's ink."""
    text = {"labelColor": _SOFT, "titleColor": _SOFT, "labelFont": _FONT, "titleFont": _FONT}
    return {
        "background": "transparent",
        "font": _FONT,
        "view": {"stroke": None},
        "axis": {
            **text, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 400,
            "gridColor": _LINE, "domain": False, "ticks": False, "labelPadding": 6,
            "titlePadding": 10,
        },
        "axisX": {"grid": False},
        "legend": {
            **text, "labelFontSize": 12, "orient": "top", "direction": "horizontal",
            "title": None, "symbolStrokeWidth": 2, "offset": 4,
        },
        "header": {**text, "labelFontSize": 12, "labelAnchor": "start", "labelFontWeight": 600},
        "text": {"color": _INK, "font": _FONT, "fontSize": 12},
        "range": {"category": [_ACCENT, _QUIET, _ALERT, _SOFT]},
    }  # fmt: skip


def matched_share(
    weekly: pl.DataFrame, caption: str = "Matched share by week", *, height: int = 180
) -> Chart:
    """Matched share of each week's left events, by count and by money.

    Args:
        weekly: `week` (text, sorts by time), `measure` (such as `by count`), `share` (0 to 1),
            `mature` (whether the settlement time of the whole week has passed); with `currency`
            each measure is one line per currency.
        caption: heading of the chart.
        height: of the plot, in pixels.
    """
    by_currency = pl.col("measure") + pl.coalesce(", " + pl.col("currency"), pl.lit(""))
    measure = by_currency if "currency" in weekly.columns else pl.col("measure")
    data = (
        weekly.select("week", measure, "share", "mature")
        .drop_nulls("share")
        .sort("measure", "week")
    )
    lowest: Any = data["share"].min()
    low = min(0.9, float(lowest or 0.0)) if data.height else 0.0
    floor = max(0.0, int(low * 20) / 20)
    measures = data["measure"].unique().sort().to_list()
    short = alt.Axis(labelAngle=0, labelOverlap=True, labelExpr="slice(datum.value, 5)")
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
                           alt.value(_PAPER)),
    )  # fmt: skip
    told = [
        f"{measure}: from {_at(rows, 0)} to {_at(rows, -1)}"
        for measure in measures
        for rows in [data.filter(pl.col("measure") == measure)]
    ]
    note = "" if data["mature"].all() else " Hollow points: the week is not mature yet."
    return Chart(
        (line + dots).properties(width=WIDTH, height=height),
        caption,
        f"{caption}, {'; '.join(told) or 'no mature week yet'}.{note}",
        data,
    )


def open_by_state(open_money: pl.DataFrame, caption: str = "Open amount by state") -> Chart:
    """Open money by state, one row of bars for each currency, each on its own scale.

    Args:
        open_money: `state, currency, amount_minor, items`.
        caption: heading of the chart.
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
        x=alt.X("share:Q", title=None, axis=None, scale=alt.Scale(domain=[0, 1.45])),
    )
    bars = base.mark_bar(height=14, cornerRadiusEnd=1).encode(
        color=alt.Color("place:Q", legend=None, scale=_PLACES)
    )
    words = base.mark_text(align="left", dx=6, fill=_INK).encode(text="label:N")
    layered = (bars + words).properties(width=WIDTH - 100, height=alt.Step(24))
    drawn = layered.facet(
        row=alt.Row("currency:N", title=None, header=alt.Header(labelAngle=0, labelAlign="left",
                                                               labelOrient="top"))
    ).resolve_scale(y="independent")  # fmt: skip
    told = "; ".join(
        f"{row['name']} {row['exact']} {row['currency']} in {row['items']:,} items"
        for row in data.to_dicts()
    )
    return Chart(drawn, caption, f"{caption}: {told or 'nothing is open'}.", data)


AGE_BUCKETS: Sequence[tuple[str, float]] = (
    ("under 1", 1), ("1 to 3", 3), ("3 to 7", 7), ("7 to 14", 14),
    ("14 to 30", 30), ("30 to 60", 60), ("over 60", float("inf")),
)  # fmt: skip


def ageing(ages: pl.DataFrame, caption: str = "Age of open items") -> Chart:
    """How long open items have been open, counted by age.

    Args:
        ages: `bucket` (a name of `AGE_BUCKETS`), `items`; see `age_buckets`.
        caption: heading of the chart.
    """
    names = [name for name, _ in AGE_BUCKETS]
    data = (
        pl.DataFrame({"bucket": names, "place": range(len(names))})
        .join(ages.select("bucket", "items"), on="bucket", how="left")
        .with_columns(pl.col("items").fill_null(0))
        .sort("place")
    )
    base = alt.Chart(data).encode(
        x=alt.X("bucket:O", sort=names, title="days open", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("items:Q", title=None, axis=None),
    )
    bars = base.mark_bar(width=46, cornerRadiusEnd=1).encode(
        color=alt.condition("datum.place > 4", alt.value(_ALERT), alt.value(_ACCENT))
    )
    words = base.mark_text(dy=-8, fill=_INK).encode(text=alt.Text("items:Q", format=","))
    told = ", ".join(f"{row['items']:,} at {row['bucket']} days" for row in data.to_dicts())
    return Chart(
        (bars + words).properties(width=WIDTH, height=150), caption, f"{caption}: {told}.", data
    )


def age_buckets(days: pl.Series) -> pl.DataFrame:
    """Ages in days, counted by `AGE_BUCKETS`: `bucket, items`."""
    edges = pl.Series([edge for _, edge in AGE_BUCKETS[:-1]])
    known = days.drop_nulls().cast(pl.Float64)
    names = pl.Series("bucket", [name for name, _ in AGE_BUCKETS])
    counted = names.gather(edges.search_sorted(known, side="right")).value_counts(name="items")
    return counted.with_columns(pl.col("items").cast(pl.Int64)).sort("bucket")


def time_to_reconcile(curve: pl.DataFrame, caption: str = "Time to reconcile") -> Chart:
    """Share of left events reconciled within a number of days (one minus Kaplan-Meier).

    Args:
        curve: `days`, `share` (0 to 1, never falling); with `low` and `high` a band is drawn.
        caption: heading of the chart.
    """
    data = curve.drop_nulls("share").sort("days")
    base = alt.Chart(data).encode(
        x=alt.X(
            "days:Q", title="days since the first fact was received", axis=alt.Axis(tickCount=8)
        )
    )
    axis = alt.Y("share:Q", title=None, scale=alt.Scale(domain=[0, 1]),
                 axis=alt.Axis(format=".0%", tickCount=5))  # fmt: skip
    layers = [
        base.mark_line(interpolate="step-after", strokeWidth=2.25, color=_ACCENT).encode(y=axis)
    ]
    if {"low", "high"} <= set(data.columns):
        band = base.mark_area(interpolate="step-after", opacity=0.15, color=_ACCENT)
        layers.insert(0, band.encode(y=alt.Y("low:Q", title=None), y2="high:Q"))
    half = data.filter(pl.col("share") >= 0.5)
    most = data.filter(pl.col("share") >= 0.9)
    told = [
        f"{words} within {rows['days'][0]:g} days"
        for words, rows in (("half", half), ("nine in ten", most))
        if not rows.is_empty()
    ]
    said = " and ".join(told) if told else "fewer than half are reconciled yet"
    return Chart(
        alt.layer(*layers).properties(width=WIDTH, height=180), caption, f"{caption}: {said}.", data
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
    colours = alt.Scale(domain=["for", "against", "sum"], range=[_ACCENT, _ALERT, _SOFT])
    bars = base.mark_bar(height=14, cornerRadius=1).encode(
        x=alt.X("start:Q", title="match weight, log2 of the odds"),
        x2="end:Q",
        color=alt.Color("kind:N", scale=colours, legend=None),
    )
    words = base.mark_text(align="left", dx=6, fill=_INK).encode(x="tip:Q", text="label:N")
    drawn = (bars + words).properties(width=WIDTH - 180, height=alt.Step(24))
    told = ", ".join(f"{row['step']} {row['label']}" for row in data.to_dicts())
    return Chart(drawn, caption, f"{caption}: {told}.", data)


def _scale(measures: Sequence[str]) -> alt.Scale:
    colours = [_ACCENT, _SOFT, _ALERT, _QUIET]
    return alt.Scale(domain=list(measures), range=colours[: max(1, len(measures))])


def _at(rows: pl.DataFrame, place: int) -> str:
    share = pl.select(tables.share_text(pl.lit(float(rows["share"][place])))).item()
    return f"{share} in {rows['week'][place]}"
