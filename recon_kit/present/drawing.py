"""How a drawing is made without a network: the theme, the SVG, and what a notebook gets of it.

Colours are CSS variables with fallbacks, so that one drawing is legible on light, dark and paper.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import polars as pl
import vl_convert as vlc

from recon_kit.present.show import MARK, SVG, TEXT, View, figure, mark

VEGALITE = "application/vnd.vegalite.v5+json"  # what JupyterLab 4.6 draws by itself
VL_VERSION = "6.4"  # of vl-convert: the Vega-Lite that Altair 6 writes
WIDTH = 680
HALF = 340  # of a chart that stands beside another one

INK = "var(--rk-ink, var(--jp-content-font-color1, #17202b))"
SOFT = "var(--rk-soft, var(--jp-content-font-color2, #566270))"
LINE = "var(--rk-line, var(--jp-border-color2, #dce1e7))"
ACCENT = "var(--rk-accent, var(--jp-brand-color1, #1d5fa8))"
ALERT = "var(--rk-alert, var(--jp-warn-color1, #b4480f))"
PAPER = "var(--rk-paper, var(--jp-layout-color0, #fff))"
QUIET = "var(--rk-quiet, #9aa7b5)"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
# Only ids and references: inside quotes and brackets data is escaped and cannot look like these.
_CLIP = re.compile(r'(?<=id=")clip[0-9]+(?=")|(?<=url\(#)clip[0-9]+(?=\))')


@dataclass(frozen=True, repr=False)
class Chart(View):
    """One chart with the sentence that says what it shows."""

    chart: Any  # altair's own types are generated unions; callers only hand it on
    caption: str
    description: str
    frame: pl.DataFrame
    half: bool = False

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
    """Several charts, one under the other; halves stand side by side where there is room."""

    charts: tuple[Chart, ...]

    def html(self) -> str:
        """Each as a figure."""
        groups = groupby(self.charts, lambda chart: chart.half)
        inner = "".join(
            f'<div class="rk-pairs">{"".join(c.figure() for c in some)}</div>'
            if half
            else "".join(c.figure() for c in some)
            for half, some in groups
        )
        return f'<section class="rk">{inner}</section>'

    def text(self) -> str:
        """Each as its description."""
        return "\n".join(chart.text() for chart in self.charts)

    def as_dict(self) -> dict[str, Any]:
        """Each as its numbers."""
        return {"charts": [chart.as_dict() for chart in self.charts]}


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


def theme() -> dict[str, Any]:
    """One quiet theme: no frame, faint horizontal grid, one accent, text in the page's ink."""
    text = {"labelColor": SOFT, "titleColor": SOFT, "labelFont": _FONT, "titleFont": _FONT}
    return {
        "background": "transparent",
        "font": _FONT,
        "view": {"stroke": None},
        "axis": {
            **text, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 400,
            "gridColor": LINE, "domain": False, "ticks": False, "labelPadding": 6,
            "titlePadding": 10,
        },
        "axisX": {"grid": False},
        "legend": {
            **text, "labelFontSize": 12, "orient": "top", "direction": "horizontal",
            "title": None, "symbolStrokeWidth": 2, "offset": 4,
        },
        "header": {**text, "labelFontSize": 12, "labelAnchor": "start", "labelFontWeight": 600},
        "text": {"color": INK, "font": _FONT, "fontSize": 12},
        "range": {"category": [ACCENT, QUIET, ALERT, SOFT]},
    }  # fmt: skip
