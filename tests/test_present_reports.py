"""Reports: strict parameters, one file that opens anywhere, and never half a report."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import fake_bench
import nbformat
import pytest
from browser import watched
from nbformat import v4

from recon_kit.errors import ParameterError, ReportError
from recon_kit.present import parameters, reports, show

ROOT = Path(__file__).resolve().parent.parent
A4_TEXT_WIDTH = 688  # CSS pixels between the margins of the page: 210 mm less 2 x 14 mm
ATTACK = fake_bench.ATTACK
SITE = """
import sys
sys.path.insert(0, {tests!r})
import recon_kit.workbench
import fake_bench
sys.modules["recon_kit.workbench.bench"] = fake_bench
"""


def notebook(path, *cells, first='week: str = "latest"  # an ISO week', tags=("parameters",)):
    """A notebook with a parameters cell and further code cells."""
    nb = v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    nb.cells = [v4.new_code_cell(first, metadata={"tags": list(tags)})]
    nb.cells += [v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nb, path)
    return path


def shown(*outputs, markdown="# Title"):
    """The page of a notebook with these outputs."""
    nb = v4.new_notebook(cells=[v4.new_markdown_cell(markdown), v4.new_code_cell("x")])
    nb.cells[1].outputs = list(outputs)
    return reports.to_html(nb, "Title")


def displayed(**data):
    """A display output; underscores in names stand for slashes."""
    return v4.new_output("display_data", data={k.replace("_", "/"): v for k, v in data.items()})


@pytest.fixture(scope="module")
def weekly(tmp_path_factory):
    """The weekly health report of the bench of literal frames, rendered once."""
    folder = tmp_path_factory.mktemp("reports")
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(SITE.format(tests=str(ROOT / "tests")))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(site)
    try:
        return reports.render(
            ROOT / "notebooks" / "report_weekly_health.ipynb",
            {"week": "2026-W46", "audience": "ops"},
            Path("weekly.html"),
            folder=folder,
        )
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


# --- parameters --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weak": "2026-W46"}, "has no parameter 'weak'; did you mean 'week'"),
        ({"x=1; open('/tmp/hit', 'w')": 1}, "has no parameter .x=1; open"),
        ({"class": 1}, "has no parameter 'class'"),
        ({"week": 46}, "'week' must be str, not int"),
        ({"rows": True}, "'rows' must be int, not bool"),
        ({"rows": "12"}, "'rows' must be int, not str"),
        ({"shares": [0.5, "x"]}, r"'shares' must be list\[float\], not list"),
        ({"limit": float("nan")}, "'limit' has no JSON form"),
        ({}, r"needs the parameter 'until' \(str\)"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(tmp_path, given, message):
    """Unknown, missing and wrongly typed parameters, and names that are code, are errors."""
    cell = (
        'week: str = "latest"\nrows: int = 3\nshares: list[float] = [0.5]\n'
        "limit: float | None = None\nuntil: str  # a date"
    )
    path = notebook(tmp_path / "r.ipynb", first=cell)
    given = given if not given or "until" in given else given | {"until": "2026-11-16"}

    with pytest.raises(ParameterError, match=message):
        reports.render(path, given, Path("r.html"), folder=tmp_path / "reports")

    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("first", "tags", "message"),
    [
        ('week: str = "x"', (), "the first code cell is not tagged 'parameters'"),
        ('week = "x"', ("parameters",), "declares no typed parameter"),
        ("week: str = open('x').read()", ("parameters",), "is no plain value"),
        ("week: date = None", ("parameters",), "'week' is declared 'date'"),
        ("week: int = 'x'", ("parameters",), "the default of 'week' is no int"),
        ("week: str =", ("parameters",), "is not Python"),
    ],
)
def test_a_parameters_cell_holds_typed_plain_values(tmp_path, first, tags, message):
    """An untagged cell, an untyped name or a computed default is refused."""
    path = notebook(tmp_path / "r.ipynb", first=first, tags=tags)

    with pytest.raises(ParameterError, match=re.escape(message)):
        reports.parameters_of(path)


def test_declared_parameters_tell_type_default_and_help(tmp_path):
    """The trailing comment of a parameter is its help."""
    path = notebook(tmp_path / "r.ipynb")

    assert reports.parameters_of(path) == {
        "week": parameters.Parameter("week", "str", "latest", required=False, help="an ISO week")
    }


def test_values_may_be_optional_lists_and_whole_numbers(tmp_path):
    """None fits an optional parameter, an int fits a float, a list fits a list of its items."""
    path = notebook(tmp_path / "r.ipynb", first="a: float | None = None\nb: list[str] = []")
    known = reports.parameters_of(path)

    assert parameters.checked({"a": 3, "b": ["x"]}, known, "r") == {"a": 3, "b": ["x"]}
    assert parameters.checked({"a": None}, known, "r") == {"a": None}


# --- paths -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("../outside.html", "lies outside the reports folder"),
        ("a/../../outside.html", "lies outside the reports folder"),
        ("link/outside.html", "lies outside the reports folder"),
        ("weekly.htm", "written as .html"),
    ],
)
def test_outputs_stay_inside_the_reports_folder(tmp_path, out, message):
    """Neither dots nor a symbolic link lead out of the folder."""
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)

    with pytest.raises(ReportError, match=message):
        reports.render(notebook(tmp_path / "r.ipynb"), {}, Path(out), folder=folder)


def test_an_absolute_path_outside_is_refused(tmp_path):
    """An absolute path is no way out either."""
    with pytest.raises(ReportError, match="lies outside the reports folder"):
        reports.render(
            notebook(tmp_path / "r.ipynb"), {}, tmp_path / "x.html", folder=tmp_path / "reports"
        )


# --- execution ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_failed_run_keeps_the_last_good_report(tmp_path):
    """The good file stays, the failed notebook is kept for its owner, nothing else is left."""
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "r{week}.html").write_text("yesterday")
    path = notebook(tmp_path / "r.ipynb", "raise ValueError('card 4242 4242 4242 4242')")

    with pytest.raises(ReportError) as failed:
        reports.render(path, {"week": "../../x"}, Path("r{week}.html"), folder=folder)

    assert str(failed.value) == (
        "r.ipynb: cell 2 failed with ValueError; the last good report is still in place; "
        "the failed run is kept as r{week}.failed.ipynb"
    )
    assert (folder / "r{week}.html").read_text() == "yesterday"
    assert sorted(p.name for p in folder.iterdir()) == ["r{week}.failed.ipynb", "r{week}.html"]
    assert (folder / "r{week}.failed.ipynb").stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_our_own_errors_are_told_in_full(tmp_path):
    """An error of this package names its remedy in the message of the report."""
    cell = "from recon_kit.errors import WorkspaceError\nraise WorkspaceError('run `recon init`')"

    with pytest.raises(ReportError, match="failed with WorkspaceError: run `recon init`; no rep"):
        reports.render(
            notebook(tmp_path / "r.ipynb", cell), {}, Path("r.html"), folder=tmp_path / "out"
        )


def test_a_file_that_is_no_notebook_is_refused(tmp_path):
    """A missing or broken notebook is named."""
    (tmp_path / "b.ipynb").write_text("{")

    with pytest.raises(ReportError, match=r"there is no notebook a\.ipynb"):
        reports.render(tmp_path / "a.ipynb", {}, Path("r.html"), folder=tmp_path)
    with pytest.raises(ReportError, match=r"b\.ipynb is no notebook"):
        reports.render(tmp_path / "b.ipynb", {}, Path("r.html"), folder=tmp_path)


# --- pages -------------------------------------------------------------------------------------


def test_outputs_that_are_not_ours_become_text():
    """HTML, SVG, markdown, JavaScript and images of others never reach the page as markup."""
    page = shown(
        displayed(text_html=ATTACK, text_plain=ATTACK),
        displayed(**{"image/svg+xml": f"<svg onload=alert(1)>{ATTACK}</svg>"}, text_plain="a"),
        displayed(application_javascript="alert(1)", text_plain="b"),
        displayed(text_markdown=ATTACK),
        displayed(image_png="iVBORw0KGgo=", text_plain="c"),
        v4.new_output("stream", name="stdout", text=f"\x1b[31m{ATTACK}\x1b[0m"),
    )

    assert "<script" not in page
    assert "<img" not in page
    assert "<svg" not in page
    assert page.count("&lt;/script&gt;&lt;script&gt;") == 2
    assert "\x1b" not in page


def test_markdown_keeps_its_words_and_loses_its_scripts():
    """Raw HTML in markdown becomes text; a link that would run code loses its address."""
    markdown = f"# A & B\n\n{ATTACK}\n\n[x](javascript:alert(1)) **bold** $<script>1</script>$"

    page = shown(markdown=markdown)

    assert "<h1" in page
    assert "<strong>bold</strong>" in page
    assert "<script" not in page
    assert "javascript:" not in page
    assert "<img" not in page


def test_a_forged_mark_does_not_carry_a_script_in():
    """Even content with a fitting mark is refused when it holds what our renderers never write."""
    html = f"<p>{ATTACK}</p>"
    page = shown(
        displayed(**{"text/html": html, show.MARK: show.mark("text/html", html)}, text_plain="t")
    )

    assert "<script" not in page
    assert '<pre class="plain">t</pre>' in page


def test_the_page_declares_its_policy_language_and_skip_link():
    """No script may run and nothing be fetched; a keyboard user can skip to the report."""
    page = shown()

    assert reports.POLICY.replace("'", "&#39;") in page
    assert "script-src 'none'" in reports.POLICY
    assert '<html lang="en">' in page
    assert 'href="#report"' in page
    assert not re.search(r"https?://(?!www\.w3\.org)", page)


def test_a_page_made_from_the_same_is_not_made_again(tmp_path):
    """Same sources, parameters and notebook: the page stays; any other of these: a new page."""
    path = notebook(tmp_path / "r.ipynb", "print(week)")
    page = tmp_path / "reports" / "r.html"

    def made(week="2026-W46", made_from="runs 1"):
        before = page.stat().st_ino if page.exists() else None
        given = {"week": week}
        reports.render(path, given, Path("r.html"), folder=page.parent, made_from=made_from)
        return page.stat().st_ino != before

    assert made()
    assert not made()
    assert made(week="2026-W45")
    assert made(week="2026-W45", made_from="runs 2")
    assert "2026-W45" in page.read_text(encoding="utf-8")


def test_a_title_is_text():
    """A title out of data cannot leave its element."""
    nb = v4.new_notebook(cells=[])

    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in reports.to_html(nb, "</title><script>")


@pytest.mark.slow
def test_the_weekly_report_tells_headline_first_and_where_it_comes_from(weekly):
    """Headline before tables, totals, definitions, then as-of, run id and checkpoint."""
    page = weekly.read_text(encoding="utf-8")
    order = [
        "98.3 % of what was due is matched", "Left items of the week by state",
        "Matched share by week", "that need attention", "Service level indicators",
        "What the words mean", "2026-11-16 03:00 America/New_York",
        "9f2c51e07ab34d18c2ff6b1d90a4e377", "sha256:5be1b0f1c09d",
    ]  # fmt: skip

    places = [page.index(text) for text in order]

    assert places == sorted(places)
    assert "<script" not in page
    assert weekly.stat().st_size < 400_000


@pytest.mark.slow
def test_the_weekly_report_prints_no_backtick(weekly):
    """What stands in backticks in a sentence is set as code."""
    page = weekly.read_text(encoding="utf-8")

    assert "`" not in page[page.index("<body") :]


@pytest.mark.slow
def test_the_weekly_report_is_the_only_file_left(weekly):
    """No draft, no executed notebook, no failed copy stays behind."""
    assert [p.name for p in weekly.parent.iterdir()] == ["weekly.html"]


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_weekly_report_opens_offline(weekly, scheme):
    """In a browser without a network: no request, no message, no sideways scrolling, readable."""
    contrast = """() => {
      const lum = c => { const [r, g, b] = c.match(/[0-9.]+/g).map(v => { v /= 255;
        return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const paper = lum(getComputedStyle(document.body).backgroundColor);
      return Math.min(...[...document.querySelectorAll('p, td, th, dt, dd, h2, svg text')].map(
        e => { const s = getComputedStyle(e); const ink = lum(e.closest('svg') ? s.fill : s.color);
        return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05); })); }"""
    with watched(scheme) as seen:
        seen.open(weekly)
        wide = seen.page.evaluate("document.documentElement.scrollWidth")
        least = seen.page.evaluate(contrast)

    assert seen.outside == []
    assert seen.messages == []
    assert wide <= 1180
    assert least >= 4.5


@pytest.mark.slow
@pytest.mark.browser
def test_the_weekly_report_prints_on_a4(weekly, tmp_path):
    """On paper nothing is cut off: every table and chart ends inside the margins."""
    widest = """() => Math.max(...[...document.querySelectorAll(
      'main *:not(.skip)')].map(e => e.getBoundingClientRect().right))"""
    with watched(width=A4_TEXT_WIDTH) as seen:
        seen.open(weekly)
        seen.page.emulate_media(media="print")
        right = seen.page.evaluate(widest)
        seen.page.pdf(path=tmp_path / "a4.pdf", prefer_css_page_size=True, print_background=True)
    sizes = re.findall(
        rb"/MediaBox ?\[0 0 ([0-9.]+) ([0-9.]+)\]", (tmp_path / "a4.pdf").read_bytes()
    )

    assert right <= A4_TEXT_WIDTH + 0.5
    assert {(round(float(w)), round(float(h))) for w, h in sizes} == {(595, 842)}
    assert 2 <= len(sizes) <= 6


@pytest.mark.browser
def test_a_script_in_a_value_does_not_run_in_a_browser(tmp_path):
    """The attack as outputs of every kind is opened in a browser; nothing of it runs."""
    from recon_kit.present import charts, views

    bench = fake_bench.Workbench("demo")
    attacked = fake_bench.OPEN_ITEMS.with_columns(why=fake_bench.pl.lit(ATTACK))
    weights = fake_bench.pl.DataFrame({"step": [ATTACK], "weight": [1.0]})
    outputs = [
        v4.new_output("display_data", data=view._repr_mimebundle_())
        for view in (
            views.OpenItemsView(attacked, fake_bench.ABOUT),
            charts.waterfall(weights),
            bench.history(ATTACK),
        )
    ]
    page = tmp_path / "page.html"
    page.write_text(shown(*outputs, displayed(text_html=ATTACK), markdown=ATTACK), encoding="utf-8")
    with watched() as seen:
        seen.open(page)
        hit = seen.page.evaluate("window.hit")
        text = seen.page.inner_text("main")

    assert hit is None
    assert seen.outside == []
    assert seen.messages == []
    assert ATTACK in text


def test_the_mark_survives_a_notebook_file(tmp_path):
    """Outputs read back from a file, where text is kept as lines, are still recognised."""
    view = fake_bench.Workbench("demo").queue()
    nb = v4.new_notebook(cells=[v4.new_code_cell("x")])
    nb.cells[0].outputs = [v4.new_output("display_data", data=view._repr_mimebundle_())]
    nbformat.write(nb, tmp_path / "n.ipynb")

    assert isinstance(json.loads((tmp_path / "n.ipynb").read_text()), dict)
    again = nbformat.read(tmp_path / "n.ipynb", as_version=4)

    assert view.html() in reports.to_html(again, "t")
