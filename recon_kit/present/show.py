"""How a result shows itself, and how a report tells our own output from anything else.

Every view leaves three things in a notebook: HTML (with the style it needs, for JupyterLab),
plain text, and a mark. The mark names the MIME type it vouches for and the sha256 of that very
content. A report renders an output only if it carries the mark, the hash fits, and every tag and
attribute is on a short list; all else becomes escaped text. A value in the data can forge none of
this, because data never chooses the MIME types of an output.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from recon_kit.safe import escape_html, prose_html

MARK = "application/vnd.recon.view+json"
HTML, SVG, TEXT = "text/html", "image/svg+xml", "text/plain"
TEMPLATES = Path(__file__).parent / "templates"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TAGS = _words(
    "div section header footer article p span strong em small code pre br wbr hr h2 h3 h4 ul ol li "
    "dl dt dd table caption colgroup col thead tbody tfoot tr th td figure figcaption time abbr "
    "details summary svg g path rect circle line text tspan defs clippath polygon polyline"
)
_ATTRIBUTES = _words(
    "class id scope colspan rowspan headers role lang dir title tabindex datetime style width "
    "height viewbox version xmlns xmlns:xlink x y x1 y1 x2 y2 dx dy cx cy r rx ry d points "
    "transform fill fill-opacity stroke stroke-width stroke-opacity stroke-dasharray "
    "stroke-dashoffset stroke-miterlimit stroke-linecap stroke-linejoin opacity text-anchor "
    "dominant-baseline font-family font-size font-style font-weight pointer-events display "
    "clip-path clippathunits open data-quarto-disable-processing data-quarto-bootstrap"
)
_PROSE_TAGS = _words("h1 h5 h6 a blockquote del")
_REFERENCE = re.compile(r"^url\(#[A-Za-z0-9_-]+\)$")


class View(ABC):
    """A result that shows itself: rich in Jupyter, plain in a terminal, one object as JSON."""

    @abstractmethod
    def html(self) -> str:
        """The view as one HTML element, every value escaped, without a style of its own."""

    @abstractmethod
    def text(self) -> str:
        """The view as plain text."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """The view as an object for JSON; frames are polars frames, times are aware."""

    def __repr__(self) -> str:
        return self.text()

    def __str__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        del include, exclude  # Jupyter may ask for less; it drops what it does not want itself
        return marked(self.html(), self.text())


def marked(html: str, text: str) -> dict[str, Any]:
    """A MIME bundle of our own HTML with its style, plain text and the mark."""
    return {HTML: style() + html, TEXT: text, MARK: mark(HTML, html)}


def mark(mime: str, content: str) -> dict[str, Any]:
    """What the mark says: which MIME type it vouches for, and the hash of that content."""
    return {"version": 1, "mime": mime, "sha256": hashlib.sha256(content.encode()).hexdigest()}


def verified(data: Mapping[str, Any]) -> str | None:
    """The HTML of an output's MIME bundle if our renderers made it, else none.

    Args:
        data: an output's bundle as a notebook stores it.

    Returns:
        The content without the style element, to be embedded as it is; none when the mark is
        missing, the content is not what was marked, or holds what our renderers never write.
    """
    said = data.get(MARK)
    if not isinstance(said, Mapping) or said.get("mime") not in (HTML, SVG):
        return None
    content = data.get(str(said["mime"]))
    if not isinstance(content, str):
        return None
    content = content.removeprefix(style())
    if mark(str(said["mime"]), content)["sha256"] != said.get("sha256"):
        return None
    if forbidden(content):
        return None
    if said["mime"] == HTML:
        return content
    return figure(content, str(data.get(TEXT, "chart")))


def figure(svg: str, description: str, caption: str | None = None) -> str:
    """A chart as a figure that a screen reader reads as its description."""
    shown = f"<figcaption>{prose_html(caption)}</figcaption>" if caption else ""
    label = escape_html(description)
    return (
        f'<figure class="rk-figure">{shown}'
        f'<div class="rk-chart" role="img" aria-label="{label}">{svg}</div></figure>'
    )


def forbidden(html: str, *, prose: bool = False) -> str | None:
    """The first thing in a fragment that our renderers never write, else none.

    With `prose` also what rendered markdown needs: headings, quotations and links.
    """
    reader = _Reader(prose)
    reader.feed(html)
    reader.close()
    return reader.problem


@cache
def style() -> str:
    """The style element that goes with a view in JupyterLab."""
    return f"<style>{(TEMPLATES / 'recon' / 'view.css').read_text(encoding='utf-8')}</style>"


class _Reader(HTMLParser):
    """Reads a fragment and remembers the first tag, attribute or text that is not on the list."""

    def __init__(self, prose: bool) -> None:
        super().__init__(convert_charrefs=False)
        self.tags = _TAGS | _PROSE_TAGS if prose else _TAGS
        self.attributes = _ATTRIBUTES | {"href"} if prose else _ATTRIBUTES
        self.problem: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Refuse tags and attributes that are not listed, and references to anything outside."""
        if tag not in self.tags:
            self._refuse(f"element {tag}")
        for name, value in attrs:
            if not (name in self.attributes or name.startswith("aria-")):
                self._refuse(f"attribute {name}")
            plain = (value or "").lower()
            outside = "url(" in plain and not _REFERENCE.match((value or "").strip())
            if outside or "javascript:" in plain or "@import" in plain:
                self._refuse(f"reference in {name}")

    def handle_endtag(self, tag: str) -> None:
        """Refuse the end of what must not start either."""
        if tag not in self.tags:
            self._refuse(f"element {tag}")

    def handle_data(self, data: str) -> None:
        """Refuse a bare `<`: ours are all written as entities, so parsers cannot disagree."""
        if "<" in data:
            self._refuse("bare <")

    def handle_comment(self, data: str) -> None:
        """Refuse comments."""
        self._refuse("comment", data)

    def handle_decl(self, decl: str) -> None:
        """Refuse declarations."""
        self._refuse("declaration", decl)

    def handle_pi(self, data: str) -> None:
        """Refuse processing instructions."""
        self._refuse("processing instruction", data)

    def unknown_decl(self, data: str) -> None:
        """Refuse marked sections."""
        self._refuse("marked section", data)

    def _refuse(self, what: str, detail: str = "") -> None:
        self.problem = self.problem or f"{what} {detail[:20]}".strip()
