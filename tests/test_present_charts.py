"""Charts: offline, described, safe with any text, legible in light and dark."""

from __future__ import annotations

import re
import socket

import fake_bench
import polars as pl
import pytest

from recon_kit.present import charts, show, views

WEEKLY = views.weekly_shares(fake_bench.SLIS, "2026-W46")
OPEN = fake_bench.TOTALS.filter(pl.col("state") != "matched", pl.col("currency") == "USD")
CHARTS = {
    "matched_share": charts.matched_share(WEEKLY),
    "open_by_state": charts.open_by_state(OPEN),
    "ageing": charts.ageing(charts.age_buckets(pl.Series([0.0, 0.5, 3.0, 100.0]))),
    "time_to_reconcile": charts.time_to_reconcile(fake_bench.CURVE),
    "waterfall": charts.waterfall(fake_bench.WHY.weights),
    "lengths": charts.lengths(
        pl.DataFrame({"name": ["ours", "theirs"], "value": [1.5, 1234.0]}), "Seconds", unit="s"
    ),
}


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to open a connection fails."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a chart asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_drawn_without_a_network(name, no_network):
    """Every chart becomes SVG with nothing but the process itself."""
    assert CHARTS[name].svg().startswith("<svg")


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_leaves_vega_for_lab_and_marked_svg_for_reports(name):
    """Lab draws the specification; a report embeds the SVG, read by its description."""
    bundle = CHARTS[name]._repr_mimebundle_()

    page = show.verified(bundle)

    assert "$schema" in bundle["application/vnd.vegalite.v5+json"]
    assert "<script" not in bundle["image/svg+xml"]
    assert 'role="img" aria-label="' in page
    assert "text/html" not in bundle


def test_the_same_chart_is_the_same_text():
    """Drawing twice gives the same bytes, and two charts of a page share no id."""
    again = charts.open_by_state(OPEN).svg()
    euros = fake_bench.TOTALS.filter(pl.col("state") != "matched", pl.col("currency") == "EUR")
    other = charts.open_by_state(euros).svg()

    assert again == CHARTS["open_by_state"].svg()
    assert set(re.findall('id="([^"]+)"', again)).isdisjoint(re.findall('id="([^"]+)"', other))


def test_descriptions_say_what_the_chart_shows():
    """A screen reader hears the numbers, not just the title."""
    told = {name: chart.description for name, chart in CHARTS.items()}

    assert "by count: from 90.0 % in 2026-W36 to 94.0 % in 2026-W46" in told["matched_share"]
    assert "not mature yet" in told["matched_share"]
    assert "overdue 4,022.55 USD in 31 items" in told["open_by_state"]
    assert "2 at under 1 days, 0 at 1 to 3 days" in told["ageing"]
    assert "half within 1.5 days and nine in ten within 6 days" in told["time_to_reconcile"]
    assert "all together -2.2" in told["waterfall"]


def test_a_script_in_a_value_stays_text():
    """A value that closes a script element and opens another is drawn as text."""
    weights = pl.DataFrame({"step": ["prior", fake_bench.ATTACK], "weight": [1.0, 2.0]})

    page = charts.waterfall(weights).html()

    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert show.forbidden(page) is None


def test_a_chart_may_not_fetch_data():
    """A specification that names an address is refused, not fetched."""
    spec = {"data": {"url": "https://example.com/a.csv"}, "mark": "bar", "encoding": {}}

    with pytest.raises(ValueError, match=r"(?i)external|not allowed|denied"):
        charts.to_svg(spec)


def test_colours_follow_the_page():
    """Ink, soft ink and lines are variables of the page, so that dark pages stay legible."""
    svg = CHARTS["matched_share"].svg()

    assert "var(--rk-soft" in svg
    assert "var(--rk-accent" in svg
    assert 'fill="white"' not in svg


def test_enable_makes_altair_offline():
    """After `enable` every Altair chart of the session shows itself without scripts from afar."""
    import altair as alt

    before = alt.renderers.active
    charts.enable()
    chart = alt.Chart(pl.DataFrame({"x": [1], "y": [2]})).mark_bar().encode(x="x:Q", y="y:Q")
    bundle = chart._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    alt.renderers.enable(before)

    assert {"application/vnd.vegalite.v5+json", "image/svg+xml", "text/plain"} < set(bundle)
    assert show.verified(bundle) is not None


def test_ages_fall_into_buckets():
    """A day belongs to the bucket it opens; unknown ages are left out."""
    counted = charts.age_buckets(pl.Series([0.0, 1.0, 3.0, None, 60.0]))

    assert dict(counted.iter_rows()) == {"1 to 3": 1, "3 to 7": 1, "over 60": 1, "under 1": 1}
