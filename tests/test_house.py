"""The house stays easy to see: ranks, owners, sizes and what may stand in a file, as tests."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "recon_kit"

# Imports go strictly downward; rooms of one rank do not import one another. Lazy imports count.
RANKS: dict[str, int] = {
    "errors": 0,
    "money": 1, "safe": 1,
    "model": 2, "workdays": 2, "stats": 2, "values": 2,
    "settings": 3,
    "ledger": 4,
    "ingestion": 5, "matching": 5, "synth": 5,
    "resolution": 6,
    "tuning": 7, "sli": 7,
    "present": 8,
    "workbench": 9,
    "cli": 10, "testing": 10,
}  # fmt: skip
# One module (or, where it ends in "/", one room) owns each heavy dependency.
OWNERS: dict[str, set[str]] = {
    "duckdb": {"ledger/engine.py"},
    "sqlite3": {"ledger/catalog.py"},
    "splink": {"matching/probable.py"},
    "sklearn": {"tuning/fit.py"},
    "papermill": {"present/reports.py"},
    "nbconvert": {"present/reports.py"},
    "altair": {"present/charts.py", "present/modelcharts.py", "present/thresholds.py"},
    "vl_convert": {"present/drawing.py"},
    "great_tables": {"present/tables.py"},
    "anywidget": {"present/review.py"},
    "cyclopts": {"cli/"},
}
LIGHT_MAX = ("splink", "altair", "papermill", "nbconvert", "ipywidgets", "anywidget", "sklearn")
BODY_LINES_MAX, MODULE_LINES_MAX, LINE_MAX = 70, 400, 100
# Modules that may be longer than MODULE_LINES_MAX, each with the reason.
LONG_MODULES = {"settings.py": "one file is one recon.toml: splitting it would hide the shape"}


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository by git, or by the file system where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        return [p for pattern in patterns or ("*",) for p in ROOT.rglob(pattern) if p.is_file()]
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


@cache
def modules() -> dict[Path, ast.Module]:
    """Every module of the package, parsed."""
    return {p: ast.parse(p.read_text(encoding="utf-8")) for p in sorted(PACKAGE.rglob("*.py"))}


def room_of(path: Path) -> str:
    """The room of a module: its first folder below the package, or its own name."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(tree: ast.AST) -> list[tuple[int, str]]:
    """Absolute names of everything a module imports anywhere, with the line."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write the full name"
            found.append((node.lineno, node.module or ""))
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def test_every_room_has_a_rank():
    """A new room must be given its place in the rank table."""
    rooms = {room_of(p) for p in modules()} - {"__init__", "__main__"}

    assert rooms - set(RANKS) == set()


def test_imports_go_strictly_downward():
    """A room imports only rooms of a lower rank, lazily or not."""
    wrong = []
    for path, tree in modules().items():
        room = room_of(path)
        if room in {"__init__", "__main__"}:
            continue
        for line, name in imports(tree):
            parts = name.split(".")
            if parts[0] != "recon_kit" or len(parts) < 2 or parts[1] not in RANKS:
                continue
            if parts[1] != room and RANKS[parts[1]] >= RANKS[room]:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {room} imports {parts[1]}")

    assert wrong == []


def test_no_circle_of_modules():
    """Modules never import one another in a circle, not even inside one room."""
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in modules()}
    edges = {
        name: {n for _, n in imports(modules()[path]) if n in names and n != name}
        for name, path in names.items()
    }
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(edges[name]):
                walk(other, (*trail, name))
            done.add(name)

    for name in names:
        walk(name, ())


def _rooms(owners: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(owner for owner in owners if owner.endswith("/"))


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_one_owner_per_heavy_library(library):
    """Each heavy library is imported by one module alone."""
    users = {
        str(path.relative_to(PACKAGE))
        for path, tree in modules().items()
        for _, name in imports(tree)
        if name.split(".")[0] == library
    }

    owners = tuple(OWNERS[library])

    assert {u for u in users if u not in owners and not u.startswith(_rooms(owners))} == set()


def test_import_is_light():
    """Neither the package nor an open workbench loads model, chart, widget or report code."""
    script = (
        "import sys, recon_kit, recon_kit.workbench.bench, recon_kit.cli.app;"
        f" print([m for m in {LIGHT_MAX!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert done.stdout.strip() == "[]"


def test_root_names_are_few():
    """The public face has at most twelve names."""
    import recon_kit

    assert len(recon_kit.__all__) <= 12


def test_sizes_stay_readable():
    """Bodies, modules and lines keep within the house's bounds."""
    wrong = []
    for path, tree in modules().items():
        lines = path.read_text(encoding="utf-8").splitlines()
        name = str(path.relative_to(PACKAGE))
        if len(lines) > MODULE_LINES_MAX and name not in LONG_MODULES:
            wrong.append(f"{name}: {len(lines)} lines")
        wrong += [
            f"{name}:{i}: long line" for i, text in enumerate(lines, 1) if len(text) > LINE_MAX
        ]
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                start = node.body[1].lineno if ast.get_docstring(node) and len(node.body) > 1 else 0
                size = (node.end_lineno or 0) - (start or node.body[0].lineno) + 1
                if size > BODY_LINES_MAX:
                    wrong.append(f"{name}:{node.lineno}: body of {node.name} has {size} lines")

    assert wrong == []


def test_no_leftover_markers():
    """Nothing is left to be done later inside the code."""
    marker = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked("*.py", "*.md", "*.ipynb", "*.toml")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if marker.search(line)
    ]

    assert wrong == []


def test_every_lint_exception_has_a_reason():
    """A `noqa` names its rule and says why."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked("*.py")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "# noqa" in line and not re.search(r"# noqa: [A-Z0-9, ]+ - \S", line)
    ]

    assert wrong == []


def test_no_host_of_a_registry_and_no_path_of_a_machine():
    """No committed file names where packages come from, or a folder of somebody's machine."""
    hosts = ["py" + "pi.org", "python" + "hosted", "registry." + "npmjs", "conda." + "anaconda"]
    common = {"/", "/tmp", "/home", "/var", "/opt"}  # noqa: S108 - names of folders, not used
    folders = [p for p in (str(ROOT), str(ROOT.parent), str(Path.home())) if p not in common]
    banned = [*hosts, "--index" + "-url", *(folder + "/" for folder in folders)]
    wrong = []
    for path in tracked():
        if path.suffix in {".parquet", ".png", ".gz"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        wrong += [f"{path.relative_to(ROOT)}: {word}" for word in banned if word in text]

    assert wrong == []


def test_pins_equal_the_lock():
    """The pins in pyproject are exactly the versions of requirements.lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = {p.split(";")[0].strip() for p in project["tool"]["uv"]["constraint-dependencies"]}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {
        line.split("\\")[0].split(";")[0].strip()
        for line in lock.splitlines()
        if re.match(r"[a-z0-9]", line)
    }

    assert pins == locked


def test_every_test_says_what_it_shows():
    """Each test function has a docstring of behaviour."""
    wrong = []
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
            if named and not ast.get_docstring(node):
                wrong.append(f"{path.name}:{node.lineno}: {node.name}")

    assert wrong == []


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.name)
def test_notebooks_are_thin_and_stripped(path):
    """A notebook holds narrative and calls: no logic, no output, short cells, a parameters cell."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    sources = ["".join(c["source"]) for c in code]
    trees = [ast.parse(s) for s in sources]
    logic = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While)

    assert all(not c["outputs"] and c["execution_count"] is None for c in code)
    assert "parameters" in code[0]["metadata"].get("tags", [])
    assert max(len([ln for ln in s.splitlines() if ln.strip()]) for s in sources) <= 15
    assert not [n for t in trees for n in ast.walk(t) if isinstance(n, logic)]
    assert not re.search(r"\bselect\b.+\bfrom\b", "\n".join(sources), re.IGNORECASE)
