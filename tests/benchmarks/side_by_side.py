"""Quality and speed of the product beside three peers, in one run on the same events.

    uv run python -m tests.benchmarks.side_by_side 100000 [--rounds 5] [--folder DIR] [--twin]

Makes the invented shop of that many orders (see `shop`) in the folder, trains a model once, then
runs every tool in a process of its own, in turn, `--rounds` times over:

| tool | what it is |
| --- | --- |
| three joins | a hash join per key in the same DuckDB: the least that could work |
| recon, stored model | the product with the model learned before, all tables of a run written |
| recon, training | the product learning its model in the run |
| Splink alone | see `peer_splink` |
| pandas + rapidfuzz | see `peer_pandas`; left out, with the reason, where uv cannot bring them |

Prints a table of medians and writes it with a chart to the folder (`side_by_side_N.json`, `.svg`).
`--checks` also compares results at one thread, two threads and with shuffled rows; growth from
size to size is printed for all sizes that the folder has results of. `--memory 300MB` bounds the
engine of the product's runs, as `RECON_MEMORY` does for its commands. `--twin` measures the twin
instead: native files taken in through the command line, scored against its truth by class.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from recon_kit.ledger.engine import open_engine
from recon_kit.present import charts
from tests.benchmarks import shop

ROOT = Path(__file__).resolve().parents[2]
EVALUATION = [sys.executable, "-m", "tests.benchmarks.evaluation"]
JOINS, STORED, TRAINED = "three joins", "recon, stored model", "recon, training"
SPLINK, PANDAS = "Splink alone", "pandas + rapidfuzz"
PANDAS_RUN = [
    "uv", "run", "--quiet", "--no-project", "--with", "pandas", "--with", "pyarrow",
    "--with", "rapidfuzz", "python", str(Path(__file__).with_name("peer_pandas.py")),
]  # fmt: skip
Told = dict[str, Any]


def command(tool: str, place: Path, out: Path, model: Path, memory: str | None = None) -> list[str]:
    """How a tool is started in a process of its own; `memory` bounds the product's engine."""
    if tool == PANDAS:
        return [*PANDAS_RUN, str(place), str(out)]
    more = {
        JOINS: ["--tool", "joins"], SPLINK: ["--tool", "splink"], TRAINED: [],
        STORED: ["--model", str(model)],
    }[tool]  # fmt: skip
    more += ["--memory", memory] if memory and tool in (STORED, TRAINED) else []
    return [*EVALUATION, str(place), str(out), *more]


def start(words: Sequence[str]) -> Told | str:
    """Run one process; its JSON object, or why there is none."""
    if shutil.which(words[0]) is None:
        return f"{words[0]} is not installed"
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        return (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    return dict(json.loads(lines[-1]))


def quality(place: Path, pairs: Path) -> Told:
    """Precision, recall and F1 against the truth, and the recall of drifted pairs.

    A second delivery of a matched payment is neither right nor wrong.
    """
    truth = sorted((place / "truth").glob("*.parquet"))
    told = ", ".join(f"'{f}'" for f in truth)
    with open_engine([*truth, pairs]) as engine:
        row = engine.rows(
            f"""
with truth as (from read_parquet([{told}])), found as (
    select t.kind, count(*) as pairs from '{pairs}' p left join truth t using (left_key, right_key)
    group by t.kind
), wanted as (select kind, count(*) as pairs from truth where kind <> 'twice' group by kind)
select (select sum(pairs) from wanted)::bigint as wanted,
       (select coalesce(sum(pairs), 0) from found)::bigint as found,
       (select coalesce(sum(pairs), 0) from found where kind = 'twice')::bigint as twice,
       (select coalesce(sum(pairs), 0) from found where kind is not null and kind <> 'twice')
           ::bigint as hits,
       (select coalesce(sum(pairs), 0) from found where kind = '{shop.DRIFTED}')::bigint as drifted,
       (select sum(pairs) from wanted where kind = '{shop.DRIFTED}')::bigint as all_drifted"""
        ).row(0, named=True)
    precision = row["hits"] / max(row["found"] - row["twice"], 1)
    recall = row["hits"] / row["wanted"]
    return {
        "precision": precision, "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-9),
        "drift_recall": row["drifted"] / row["all_drifted"],
    }  # fmt: skip


def measure(asked: argparse.Namespace, folder: Path) -> tuple[dict[str, Told], dict[str, str]]:
    """Medians by tool, and why a tool is missing."""
    place, model = folder / str(asked.orders), folder / str(asked.orders) / "model.json"
    shop.make(asked.orders, place)
    found: dict[str, list[Told]] = defaultdict(list)
    missing: dict[str, str] = {}
    trained = start(command(TRAINED, place, place / "trained", model))
    if isinstance(trained, str):
        raise SystemExit(f"the product failed: {trained}")
    shutil.copy(place / "trained" / "model.json", model)
    for number in range(asked.rounds):
        for tool in (t for t in asked.tools if t not in missing):
            out = place / tool.replace(" ", "_").replace(",", "")
            told = start(command(tool, place, out, model, asked.memory))
            if isinstance(told, str):
                missing[tool] = told
                continue
            if number == 0:
                told |= quality(place, out / "pairs.parquet")
            found[tool].append(told)
            sys.stderr.write(f"round {number + 1}, {tool}: {told['work_s']:.2f} s\n")
    return {tool: middle(runs) for tool, runs in found.items()}, missing


def middle(runs: Sequence[Told]) -> Told:
    """Median of every number; peak memory is the largest, quality is that of the first round."""
    medians = {
        key: statistics.median(run[key] for run in runs if key in run)
        for key, value in runs[0].items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    return medians | {"rss_mb": max(run["rss_mb"] for run in runs), "runs": len(runs)}


def table(medians: dict[str, Told]) -> list[str]:
    """Lines: seconds of work and of the processors, ratio to the product, memory, quality."""
    head = f"{'':22}{'work s':>9}{'x':>7}{'cpu s':>9}{'x':>7}{'MiB':>8}{'pairs':>13}"
    lines = [head + f"{'F1':>8}{'precision':>11}{'recall':>9}{'drift':>8}"]
    base = medians.get(STORED) or next(iter(medians.values()))
    for tool, told in medians.items():
        lines.append(
            f"{tool:22}{told['work_s']:9.3f}{told['work_s'] / base['work_s']:7.2f}"
            f"{told['cpu_s']:9.3f}{told['cpu_s'] / base['cpu_s']:7.2f}{told['rss_mb']:8,.0f}"
            f"{told.get('candidates', 0):13,.0f}{told['f1']:8.4f}{told['precision']:11.4f}"
            f"{told['recall']:9.4f}{told['drift_recall']:8.3f}"
        )
    if STORED in medians:
        told = medians[STORED]
        share = told["explain_s"] / (told["match_s"] + told["write_s"])
        lines.append(f"explaining costs {share:.1%} of the product's run")
    return lines


def checks(place: Path, model: Path) -> str:
    """Whether threads and the order of rows change a single byte of the result."""
    hashes = {}
    for name, more in {
        "2 threads": ["--threads", "2"], "1 thread": ["--threads", "1"],
        "8 threads": ["--threads", "8"], "shuffled": ["--shuffled"],
    }.items():  # fmt: skip
        for way, known in (("stored", ["--model", str(model)]), ("training", [])):
            words = [*EVALUATION, str(place), str(place / "check"), "--hash", *more, *known]
            told = start(words)
            hashes[f"{name}, {way}"] = told if isinstance(told, str) else told["result_hash"]
    same = len(set(hashes.values())) == 1
    return "same bytes: " + ("yes" if same else "NO") + " (" + "; ".join(hashes) + ")"


def growth(folder: Path) -> list[str]:
    """Exponents of time and of candidate pairs from size to size, for what the folder holds."""
    told = {}
    for file in folder.glob("side_by_side_*.json"):
        held = json.loads(file.read_text())
        told[held["orders"]] = held["medians"]
    lines = []
    for small, large in zip(sorted(told), sorted(told)[1:], strict=False):
        for tool in (t for t in told[large] if t in told[small]):
            one, two = told[small][tool], told[large][tool]
            grown = {
                name: math.log(two[key] / one[key]) / math.log(large / small)
                for name, key in (("work", "work_s"), ("cpu", "cpu_s"), ("pairs", "candidates"))
                if one.get(key) and two.get(key)
            }
            said = ", ".join(f"{name} {value:.2f}" for name, value in grown.items())
            lines.append(f"growth {small:,} to {large:,}, {tool}: {said}")
    return lines


def twin(asked: argparse.Namespace, folder: Path) -> list[str]:
    """The twin of this size: native files in through `recon demo`, then scored by class."""
    place = folder / f"twin_{asked.orders}"
    recon = [str(Path(sys.executable).with_name("recon")), "demo", str(place), "--json"]
    words = [*recon, "--orders", str(asked.orders)]
    made = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(made.stdout)
    runs = []
    for _ in range(asked.rounds):
        one = start([*EVALUATION, str(place), str(place / "evaluation")])
        two = start([*EVALUATION, str(place), str(place / "joined"), "--tool", "joins"])
        if isinstance(one, str) or isinstance(two, str):
            raise SystemExit(f"a run failed: {one} {two}")
        runs.append((one, two))
    ours, joins = (middle([pair[i] for pair in runs]) for i in (0, 1))
    first = f"twin of {asked.orders:,} orders, first run with report {told['seconds']:.1f} s"
    ratio = ours["cpu_s"] / joins["cpu_s"]
    second = (
        f"orders_to_payments: {ours['work_s']:.2f} s of work, {ours['cpu_s']:.2f} of the"
        f" processors ({ratio:.1f} times three joins), {ours['rss_mb']:,.0f} MiB"
    )
    kept = ("reconciliation", "true_links", "auto", "precision", "recall", "false_matches")
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160):
        return [first, second, str(pl.DataFrame(told["truth"]).select(kept))]


def main() -> None:
    """Measure, print, and keep the table with its chart."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    options.add_argument("orders", type=int)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--folder", type=Path, help="where data and results stay")
    options.add_argument("--tools", nargs="+", choices=[JOINS, STORED, TRAINED, SPLINK, PANDAS],
                         default=[JOINS, STORED, TRAINED, SPLINK, PANDAS])  # fmt: skip
    options.add_argument("--memory", help='most memory of the product\'s engine: "300MB"')
    options.add_argument("--checks", action="store_true")
    options.add_argument("--twin", action="store_true")
    asked = options.parse_args()
    folder = (asked.folder or Path(tempfile.gettempdir()) / "recon_side_by_side").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if asked.twin:
        sys.stdout.write("\n".join(twin(asked, folder)) + "\n")
        return
    medians, missing = measure(asked, folder)
    name = f"side_by_side_{asked.orders}"
    kept = {"orders": asked.orders, "medians": medians, "missing": missing}
    (folder / f"{name}.json").write_text(json.dumps(kept, indent=1))
    lines = [f"{asked.orders:,} orders, medians of {asked.rounds} rounds", *table(medians)]
    lines += [f"left out: {tool}: {why}" for tool, why in missing.items()]
    if asked.checks:
        place = folder / str(asked.orders)
        lines.append(checks(place, place / "model.json"))
    lines += growth(folder)
    drawn = pl.DataFrame({"name": list(medians), "value": [t["work_s"] for t in medians.values()]})
    chart = charts.lengths(drawn, f"Seconds of work, {asked.orders:,} orders", unit="s")
    (folder / f"{name}.svg").write_text(chart.svg(), encoding="utf-8")
    lines.append(f"chart: {folder / name}.svg")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
