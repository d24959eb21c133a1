"""One bank line, several payouts: a person sees every answer, picks one whole, and it is booked."""

from __future__ import annotations

import csv
import json
import shutil
from decimal import Decimal

import pytest

from recon_kit.cli import main
from recon_kit.present.asking import Round
from recon_kit.workbench.bench import Workbench

SETTINGS = """
[workspace]
name = "corner_shop"
timezone = "UTC"
currency = "EUR"
as_of = "2026-11-30T12:00:00Z"
[[sources]]
name = "psp"
feed = "table"
[sources.layout]
event_type = "payout"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
native_id = "Id"
event_ts = "Day"
amount = "Amount"
currency = { value = "EUR" }
[[sources]]
name = "bank"
feed = "table"
[sources.layout]
event_type = "bank_line"
timezone = "UTC"
date_formats = ["%Y-%m-%d"]
[sources.layout.columns]
native_id = "Ref"
event_ts = "Day"
amount = "Amount"
currency = { value = "EUR" }
description = "Text"
[[reconciliations]]
name = "payouts_to_bank"
left = { sources = ["psp"], types = ["payout"] }
right = { sources = ["bank"], types = ["bank_line"] }
keys = ["payout_id"]
cardinality = "many_to_one"
window = { before = "1d", after = "10d" }
settles_within = "5d"
[reconciliations.probable]
enabled = false
[reconciliations.decomposed]
enabled = true
[governance]
approvals = ["data_owner"]
[governance.roles]
data_owner = ["bo"]
"""
# 100.01 + 250.13 + 33.40 = 383.54: with the payout of the 3rd or with that of the 5th
PSP = """Id,Day,Amount
po_1,2026-11-02,100.01
po_2,2026-11-03,250.13
po_3,2026-11-04,77.77
po_4,2026-11-05,250.13
po_5,2026-11-06,33.40
po_late,2026-11-20,512.08
"""
BANK = """Ref,Day,Amount,Text
b1,2026-11-09,383.54,TRANSFER PSP
b2,2026-11-23,511.08,TRANSFER PSP po_late
"""
RULE = """
name = "named_in_text"
[[conditions]]
test = "contains"
left = "native_id"
right = "description"
within = "right"
[[conditions]]
test = "amount"
minor_units = 100
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Five payouts of which three are in the line of the 9th; one that came a euro short."""
    folder = tmp_path_factory.mktemp("groups") / "shop"
    folder.mkdir()
    (folder / "recon.toml").write_text(SETTINGS, encoding="utf-8")
    bench = Workbench(folder)
    for name, text in (("psp", PSP), ("bank", BANK)):
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
        bench.ingest(name, folder / f"{name}.csv")
    bench.reconcile()
    return folder


@pytest.fixture
def shop(made, tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_REVIEWER", "ana")
    return shutil.copytree(made, tmp_path / "shop")


@pytest.fixture
def recon(shop, capsys):
    """Run a command; returns exit code and what it printed."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments), "-w", str(shop)])
        told = capsys.readouterr()
        return end.value.code, told.out + told.err

    return run


def exported(recon, shop):
    """The exported pairs: payout, bank line, disposition, answer."""
    out = shop / "m.csv"
    assert recon("export", "matches", "--out", out)[0] == 0
    with out.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def answers(recon, shop):
    """Payouts of each proposed answer, by its id."""
    found = {}
    for row in exported(recon, shop):
        if row["disposition"] == "review":
            found.setdefault(row["match_id"], set()).add(row["left_native_id"])
    return found


def test_why_ranks_all_answers_that_are_shown(recon):
    """How many there are, how near in time and how plausible in fees each is, how to take one."""
    _, out = recon("why", "b1")

    told = next(line for line in out.splitlines() if line.startswith("- decomposed"))
    first = told.split(": ")[2].split(" ")[-1]
    assert told.startswith("- decomposed (proposed): 2 sets add up, most plausible first: 1. ")
    assert told.count("3 open items within 4 days, 3 days from it, fees as usual") == 2
    assert told.endswith(f"`recon decide {first} --same` confirms one as a whole")


def test_one_call_decides_a_whole_group(recon, shop):
    """Three decisions in one bundle; the next run books the three payouts against the line."""
    wanted = next(k for k, v in answers(recon, shop).items() if "po_4" in v)

    code, out = recon("decide", wanted[:8], "--same", "--json")
    rows = json.loads(out)["rows"]
    assert code == 0
    assert [r["verdict"] for r in rows] == ["same"] * 3
    assert len({r["bundle_id"] for r in rows} - {None}) == 1

    assert recon("run")[0] == 0
    confirmed = [r for r in exported(recon, shop) if r["disposition"] == "confirmed"]
    assert {(r["left_native_id"], r["right_native_id"], r["left_role"]) for r in confirmed} == {
        ("po_1", "b1", "part"), ("po_4", "b1", "part"), ("po_5", "b1", "part")
    }  # fmt: skip
    assert sum(Decimal(r["left_amount"]) for r in confirmed) == Decimal("383.54")
    _, out = recon("matches", "--disposition", "confirmed", "--json")
    match = json.loads(out)["rows"][0]
    assert (match["left_sum"], match["right_sum"], match["residual_minor"]) == (38354, 38354, 0)


def test_an_undone_bundle_is_a_question_again(recon, shop):
    """One undo takes all three decisions back."""
    wanted = min(answers(recon, shop))
    _, out = recon("decide", wanted, "--same", "--json")
    bundle = json.loads(out)["rows"][0]["bundle_id"]

    assert recon("undo", "--bundle", bundle)[0] == 0
    recon("run")
    assert len(answers(recon, shop)) == 2


def test_refusing_one_answer_leaves_the_other_whole(recon, shop):
    """The two share two payouts: only the third is kept apart from the line."""
    found = answers(recon, shop)
    refused = next(k for k, v in found.items() if "po_2" in v)

    code, out = recon("decide", refused, "--not-same", "--json")
    assert (code, len(json.loads(out)["rows"])) == (0, 1)
    recon("run")
    assert list(answers(recon, shop).values()) == [{"po_1", "po_4", "po_5"}]


def test_the_screen_shows_the_ranking_and_one_key_decides(shop):
    """Why it is asked, what speaks for each answer, sum and difference; then `s`."""
    bench = Workbench(shop)
    asking = Round(bench.review().desk)
    question = asking.state()["question"]

    assert question["why"] == (
        "2 sets of open items add up to this bank line; the most plausible are shown first."
    )
    assert [(c["title"], c["note"]) for c in question["candidates"]] == [
        ("3 payouts", "within 4 days, 3 days from it, fees as usual")
    ] * 2
    assert question["members"]["totals"][-1][0] == "difference"
    chosen = next(c["key"] for c in question["candidates"] if c["chosen"])
    asking.handle({"type": "decide", "question": question["id"], "verdict": "same",
                   "candidate": chosen})  # fmt: skip
    bench.reconcile()
    assert bench.matches(disposition="confirmed").frame["residual_minor"].to_list() == [0]


def test_the_screen_refuses_one_answer_after_the_other(shop):
    """What is refused is marked; when all answers are, the question is settled."""
    asking = Round(Workbench(shop).review().desk)
    for left in (1, 0):
        question = asking.state()["question"]
        chosen = next(c["key"] for c in question["candidates"] if c["chosen"])
        told = asking.handle({"type": "decide", "question": question["id"], "verdict": "not_same",
                              "candidate": chosen})  # fmt: skip
        assert told["progress"]["left"] == left


def test_a_rule_of_ones_own_goes_from_a_file_into_the_next_run(recon, shop):
    """Written, proposed by Ana, approved by Bo, promoted, applied: the line that came short."""
    file = shop / "rule.toml"
    file.write_text(RULE, encoding="utf-8")

    code, out = recon("rules", "propose", "--file", file, "--json")
    rule = json.loads(out)["rows"][0]
    assert (code, rule["name"], rule["state"]) == (0, "named_in_text", "waiting")
    assert json.loads(out)["notes"][1].startswith("Next: `recon approve ")
    assert recon("approve", rule["content_hash"][:8], "--by", "bo")[0] == 0
    assert recon("promote", rule["content_hash"][:8])[0] == 0
    assert recon("run")[0] == 0

    booked = [r for r in exported(recon, shop) if r["method"] == "learned"]
    assert [(r["left_native_id"], r["right_native_id"], r["disposition"]) for r in booked] == [
        ("po_late", "b2", "auto")
    ]  # fmt: skip


def test_a_run_is_pinned_to_the_text_of_its_rules(recon, shop):
    """Catalogue 97: a scheduled run never takes another text of a rule than the promoted one."""
    file = shop / "rule.toml"

    def proposed(text):
        file.write_text(text, encoding="utf-8")
        return json.loads(recon("rules", "propose", "--file", file, "--json")[1])["rows"][-1]

    def ran():
        recon("run")
        return Workbench(shop).store.current_run("payouts_to_bank").rules_hash

    first = proposed(RULE)["content_hash"]
    recon("approve", first[:8], "--by", "bo")
    recon("promote", first[:8])
    pinned = ran()
    second = proposed(RULE.replace("minor_units = 100", "minor_units = 90"))["content_hash"]
    recon("approve", second[:8], "--by", "bo")

    assert second != first
    assert ran() == pinned
    recon("promote", second[:8])
    assert ran() != pinned


def test_a_rule_that_cannot_be_read_is_refused(recon, shop):
    """The message says what the vocabulary does not know; nothing is proposed."""
    file = shop / "rule.toml"
    file.write_text(RULE.replace("native_id", "nativ_id"), encoding="utf-8")
    code, out = recon("rules", "propose", "--file", file)
    assert code == 1
    assert "rule 'named_in_text' cannot be read: conditions.0.contains.left" in out

    file.write_text("name = ", encoding="utf-8")
    assert "this is no TOML: " in recon("rules", "propose", "--file", file)[1]
    assert "no such file: " in recon("rules", "propose", "--file", shop / "none.toml")[1]
    assert "not both" in recon("rules", "propose", "x", "--file", file)[1]
