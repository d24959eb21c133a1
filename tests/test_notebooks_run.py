"""Notebooks: thin, stripped, well formed, and they run from top to bottom."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import nbformat
import pytest

from recon_kit.present import reports

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RUN_HERE = {"01_profile_sources", "02_reconcile", "03_review_matches", "04_train_match_model"}
MINE = [p for p in NOTEBOOKS if p.stem in RUN_HERE]
SITE = (
    "import sys\nsys.path.insert(0, {tests!r})\nimport recon_kit.workbench\nimport fake_bench\n"
    "sys.modules['recon_kit.workbench.bench'] = fake_bench\n"
)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_a_notebook_is_valid_and_bare(path):
    """Format 4.5 with ids, no output, no counts, no metadata but kernel, language and title."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(raw)
    code = [cell for cell in raw["cells"] if cell["cell_type"] == "code"]

    assert (raw["nbformat"], raw["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in raw["cells"]}) == len(raw["cells"])
    assert set(raw["metadata"]) <= {"kernelspec", "language_info", "title"}
    assert raw["metadata"]["kernelspec"]["name"] == "python3"
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_a_notebook_declares_typed_parameters_with_help(path):
    """Each parameter has a plain default and a comment; the workspace is the demo."""
    declared = reports.parameters_of(path)

    assert declared["workspace"].default == "data/demo"
    assert all(parameter.help and not parameter.required for parameter in declared.values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_a_notebook_holds_narrative_and_calls(path):
    """Every few calls are led in by a sentence, and no path of a machine is in it."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    kinds = [cell["cell_type"] for cell in cells]
    text = "\n".join("".join(cell["source"]) for cell in cells)

    assert kinds[0] == "markdown"
    assert kinds.count("markdown") * 2 >= kinds.count("code")
    assert not re.search(r"(^|[\s\"'])/(home|root|Users|tmp|work)/", text)


@pytest.mark.slow
@pytest.mark.parametrize("path", MINE, ids=lambda p: p.name)
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    """Executed on a bench of literal frames, each shows its results; all of them are ours."""
    (tmp_path / "sitecustomize.py").write_text(SITE.format(tests=str(ROOT / "tests")))
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))

    page = reports.render(path, {}, Path("page.html"), folder=tmp_path).read_text(encoding="utf-8")

    assert page.count('<section class="rk">') >= 2
    assert 'class="plain"' not in page
