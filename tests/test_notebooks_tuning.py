"""The notebooks about thresholds, executed on a real workspace."""

from __future__ import annotations

from pathlib import Path

import pytest
from certified_shop import answer, make

from recon_kit.present import reports

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The keyless shop, half of its orders drawn and rightly answered."""
    bench = make(tmp_path_factory.mktemp("notebooks") / "shop")
    bench.draw_audit(rate=0.6)
    answer(bench)
    return bench


def rendered(name: str, shop, folder: Path) -> str:
    """The page that a notebook gives on the shop."""
    values = {"workspace": str(shop.folder)}
    page = reports.render(NOTEBOOKS / f"{name}.ipynb", values, Path("page.html"), folder=folder)
    return page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_sweep_is_one_page_without_scripts(shop, tmp_path):
    """Chart, proposal and changes under papermill; every output is ours, nothing runs."""
    page = rendered("05_sweep_thresholds", shop, tmp_path)

    assert "What a threshold brings" in page
    assert "<code>recon certify</code>" in page
    assert "`" not in page[page.index("<body") :]
    assert "Proposed: " in page
    assert "of all thresholds at which surely no more than 2.0% are wrong" in page
    assert "Changes to what is matched without a person" in page
    assert 'class="plain"' not in page
    assert "<script" not in page


@pytest.mark.slow
def test_the_comparison_is_one_page_without_scripts(shop, tmp_path):
    """What a threshold would gain, for whom, and each event; every output is ours."""
    page = rendered("06_compare_rules", shop, tmp_path)

    assert "with probable from 0.999 on, uncertified" in page
    assert "Whom it concerns" in page
    assert 'class="plain"' not in page
    assert "<script" not in page
