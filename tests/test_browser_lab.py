"""The notebooks in a real JupyterLab, in a real browser, without a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from lab import CONTRAST, browser_page, in_scheme, keep_picture, open_notebook, serving

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def lab(tmp_path, twin_bench):
    """JupyterLab over a copy of the notebooks, with the small twin as the demo."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    shutil.copytree(twin_bench.folder, tmp_path / "data" / "demo")
    with serving(tmp_path) as (address, _):
        yield address


def run_all(page, address, name):
    """Run a notebook, look at it in light and dark, and give its text."""
    open_notebook(page, address, name)
    for scheme in ("dark", "light"):
        in_scheme(page, scheme)
        keep_picture(page, f"{name}_{scheme}")
        assert page.evaluate(CONTRAST) >= 4.5
    return page.locator(".jp-Notebook").inner_text()


@pytest.mark.browser
@pytest.mark.slow
def test_the_notebooks_run_and_are_drawn_in_jupyterlab_offline(lab):
    """Run All shows the first screen, the tables and the charts, legible in light and dark."""
    outside = []
    with browser_page(outside, lab) as page:
        profile = run_all(page, lab, "01_profile_sources")
        profile_tables = page.locator(".jp-OutputArea-output .rk table").count()
        first_screen = run_all(page, lab, "02_reconcile")
        tables = page.locator(".jp-OutputArea-output .rk table").count()
        report = run_all(page, lab, "report_weekly_health")
        drawn = page.locator(".jp-OutputArea-output .rk-chart svg:visible").count()

    assert "Keys that two sources share" in profile
    assert profile_tables >= 4
    assert "due items are matched" in first_screen
    assert "nordlys, as of" in first_screen
    assert "open-items, " in first_screen
    assert tables >= 6
    assert "What the words mean" in report
    assert drawn >= 3
    assert outside == []


@pytest.mark.browser
@pytest.mark.slow
def test_training_thresholds_and_comparison_in_jupyterlab_offline(lab):
    """The card says what is next; a pointer moves the cursor; a comparison answers at once."""
    outside = []
    with browser_page(outside, lab) as page:
        trained = run_all(page, lab, "04_train_match_model")
        run_all(page, lab, "05_sweep_thresholds")
        lax, strict = cursor(page, 0.0, "From 0.2"), cursor(page, 0.9, "From 0.999")
        compared = run_all(page, lab, "06_compare_rules")

    assert "Next: decide on 30 pairs in notebook 03" in trained
    assert lax.startswith("From 0.2")
    assert strict.startswith("From 0.999")
    assert "with probable from 0.999 on, uncertified" in compared
    assert outside == []


def cursor(page, part, awaited):
    """What the chart of thresholds says where the pointer is, `part` of the way across.

    A busy machine draws late, and a chart that moved meanwhile wants the pointer again.
    """
    plot = page.locator(".vega-embed svg .mark-symbol.role-mark path").first
    plot.wait_for(state="attached")
    said = page.locator(".vega-embed svg text", has_text=" items to people").first
    for nudge in range(40):
        across = page.locator(".vega-embed svg .mark-line path").first.bounding_box()
        page.mouse.move(across["x"] + part * across["width"], across["y"] + 20 + nudge % 2)
        page.wait_for_timeout(250)
        if said.text_content().startswith(awaited):
            break
    return said.text_content()
