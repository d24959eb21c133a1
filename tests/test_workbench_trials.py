"""A model or a rule tried on a share of components: what it does there, how it ends."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest
from certified_shop import NOW, answer, make, more
from test_workbench_canary import REC, judge, look_alikes

from recon_kit import cli
from recon_kit.errors import GovernanceError, SettingsError
from recon_kit.matching.canary import NO_TRIALS
from recon_kit.workbench.bench import Workbench
from recon_kit.workbench.run import trials

RULE = """
name = "same_mail"
[[conditions]]
test = "equal"
left = "email"
right = "email"
[[conditions]]
test = "amount"
"""
ROLES = ("ana", "bo", "cy")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """The keyless shop with look-alikes; a trained model and a rule are approved, not promoted."""
    folder = tmp_path_factory.mktemp("trials") / "shop"
    bench = make(folder)
    bench.draw_audit(rate=0.7)
    answer(bench)
    look_alikes(bench)
    bench.reconcile()
    model = bench.train(by="dee").model_hash
    (folder / "rule.toml").write_text(RULE, encoding="utf-8")
    bench.propose_rules(file=folder / "rule.toml", author="dee")
    rule = bench.promote().frame.filter(kind="rule")["content_hash"][0]
    for change in (model, rule):
        for person in ROLES:
            bench.approve(change, by=person)
    return folder, model, rule


@pytest.fixture
def shop(labelled, tmp_path):
    """A copy of it, to be changed, and the hashes of model and rule."""
    folder, model, rule = labelled
    shutil.copytree(folder, tmp_path / "shop")
    return Workbench(tmp_path / "shop", clock=lambda: NOW), model, rule


def standing(bench):
    """The current run: what was on trial, and what stands of every left event by which method."""
    bench.reconcile()
    run = bench.store.current_run(REC).run_id
    with bench.store.snapshot().engine(runs=[run]) as engine:
        tried = engine.rows("from canary_events order by event_key, method")
        stands = engine.rows(
            "select l.event_key, m.method, m.model_hash, m.rule_id, m.certificate_id, true as made"
            " from matches m join match_members l using (match_id) where l.side = 'left'"
            " and m.method <> 'decided' union all by name"
            " select left_key as event_key, method, model_hash, false as made from proposals"
            " group by all order by all"
        )
    return tried, stands


def test_a_model_scores_its_share_and_all_others_keep_theirs(shop):
    """Both score; on trial stands what the new one makes, elsewhere not a digit changes."""
    bench, model, _ = shop
    used = bench.store.current_run(REC).model_hash
    _, before = standing(bench)

    said = bench.promote(model, share=0.4, by="dee").notes
    tried, after = standing(bench)

    assert f"model {model[:12]} (model of probable) is in force on 40 % of components" in said[0]
    assert said[1].endswith("or `recon rollback --kind model`.")
    mine = tried.filter(side="left")["event_key"]
    assert set(tried["certificate_id"]) == {model}
    there = pl.col("event_key").is_in(mine.implode())
    assert set(after.filter(there)["model_hash"]) == {model}
    assert after.filter(~there).rows() == before.filter(~there).rows()
    assert 0.2 < after.filter(there).height / after.height < 0.6  # about 40 %, whatever is drawn
    assert bench.store.current_run(REC).model_hash == used
    states = bench.promote().frame.filter(kind="model")["state"].to_list()
    assert sorted(states) == ["canary on 40 %", "in force"]
    line = f"probable: model {model[:12]} tried on 40 % of components"
    assert line in bench.matches().about.line()
    assert f"A canary runs: {line}. `recon watch` holds it" in bench.sweep().lines()[-1]
    assert line in bench.compare(threshold=0.9).lines()[-1]
    assert bench.store.verify("all") == []

    bench.promote(model, by="dee")
    tried, every = standing(bench)
    assert tried.is_empty()
    assert every.filter(there).rows() == after.filter(there).rows()
    assert trials(bench.store, REC, NOW) == NO_TRIALS


def test_a_model_on_trial_matches_under_its_own_certificate_and_takes_it_along(shop, capsys):
    """Proven by the same audit sample, acting where the model does; both end with the alarm."""
    bench, model, _ = shop

    def recon(*words):
        with pytest.raises(SystemExit) as done:
            cli.main([*words, "--workspace", str(bench.folder), "--json"])
        out = capsys.readouterr().out
        return done.value.code, json.loads(out) if out else None

    would = recon("compare", "--change", model, "--share", "0.5")[1]
    assert "(model of probable) on 50 % of components" in would["compared"]
    assert recon("promote", model, "--share", "0.5", "--by", "dee")[0] == 0
    code, proven = recon("certify", "--model", model[:12], "--by", "dee")
    assert code == 0
    named = proven["certificate_id"]
    for person in ROLES:
        recon("approve", named, "--by", person)
    with pytest.raises(
        GovernanceError, match=r"tried on 50 % of components: it acts there\. Leave"
    ):
        bench.promote(named, share=0.2, by="dee")
    told = recon("promote", named, "--by", "dee")[1]["notes"][0]
    assert "is in force on 50 % of components" in told

    tried, after = standing(bench)
    made = after.filter("made")
    assert set(made["certificate_id"]) == {named}
    assert set(made["model_hash"]) == {model}
    assert set(made["event_key"]) <= set(tried["event_key"])
    canary, rest = recon("watch")[1]["rows"]
    assert (canary["part"], canary["state"], canary["matched"]) == (
        "canary",
        "observe",
        made.height,
    )
    assert (rest["part"], rest["state"], rest["matched"]) == ("rest", None, 0)

    recon("labels", "draw", "--strata", "canary", "--rate", "0.01", "--rates.canary", "1")
    judge(bench, wrong=20)
    code, found = recon("watch", "--apply", "--by", "bo")
    assert (code, found["rows"][0]["state"], found["rows"][0]["wrong"]) == (3, "roll_back", 20)
    assert "are void as canaries" in found["notes"][-1]
    tried, after = standing(bench)
    assert (tried.height, after.filter("made").height) == (0, 0)
    assert model not in after["model_hash"].to_list()


def test_a_rule_matches_in_its_components_and_is_watched(shop, capsys):
    """Outside its share its pairs go on to the next method; wrong ones end it, by themselves."""
    bench, _, rule = shop
    _, before = standing(bench)

    bench.promote(rule, share=0.5, by="dee")
    tried, after = standing(bench)

    made = after.filter(pl.col("made") & (pl.col("method") == "learned"))
    assert set(made["rule_id"]) == {rule} == set(tried["certificate_id"])
    assert set(made["event_key"]) <= set(tried["event_key"])
    others = ~pl.col("event_key").is_in(tried["event_key"].implode())
    # about half each; how many are left to match depends on the audit draw
    assert min(made.height, after.filter(others).height) >= 20
    assert set(after.filter(others)["method"]) == {"probable"}
    assert set(after.filter(others)["event_key"]) <= set(before["event_key"])
    assert "learned: rule same_mail tried on 50 % of components" in bench.matches().about.line()

    bench.draw_audit(rate=0.01, strata="canary", rates={"canary": 1.0})
    judge(bench, wrong=20, method="learned")
    view = bench.watch(method="learned")
    assert view.frame["part"].to_list() == ["canary", "rest"]
    assert view.frame["state"].to_list() == ["roll_back", None]
    assert view.frame["wrong"].to_list() == [20, 0]
    assert f"Canary: rule {rule[:12]} on 50 % of components, held to 2.0%" in view.notes[0]
    bench.watch(method="learned", apply=True, by="bo")
    assert standing(bench)[1].filter(pl.col("method") == "learned").is_empty()


PARTING = """
name = "same_suffix"
verdict = "not_same"
[[conditions]]
test = "equal"
left = "email"
right = "email"
[[conditions]]
test = "equal"
left = "native_id"
right = "native_id"
left_as = "last_word"
right_as = "last_word"
"""


def crossed(bench, counterpart="b"):
    """Orders whose payment carries the other suffix, beside one of the same that is no payment.

    Returns the labels of somebody who knows; `counterpart` is the suffix that they name.
    """
    shop, card = ["Order,Time,Total,Mail,Name"], ["Id,Time,Amount,Mail,Name"]
    for n in range(60):
        who = f"{20 + n}.10,cross{n}@mail.io,Cross{n} Over{n}"
        shop.append(f"X{n} a,2026-04-{n % 14 + 1:02} 09:00,{who}")
        card += [f"Y{n} {end},2026-04-{n % 14 + 1:02} 10:00,{who}" for end in "ab"]
    for name, lines in (("shop", shop), ("card", card)):
        path = bench.folder / f"{name}_crossed.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        bench.ingest(name, path)
    with bench.store.snapshot().engine() as engine:
        return engine.rows(
            "select l.event_key as left_key, r.event_key as right_key from events l join events r"
            " on r.native_id = 'Y' || split_part(l.native_id, ' ', 1)[2:] || ' ' || $1"
            " where l.native_id like 'X%' order by all",
            [counterpart],
        )


@pytest.mark.parametrize(("named", "state"), [("b", "observe"), ("a", "roll_back")])
def test_a_rule_that_parts_is_judged_by_what_it_parts_alone(shop, named, state):
    """A counterpart that it leaves alone and nobody matches yet is no mistake of the rule.

    All sixty orders have two payments of their customer, so a rule in force asks. The rule on trial
    keeps the payment of their own suffix from them. Where people name the other, it is right sixty
    times; where they name the one it keeps away, it goes back.
    """
    bench, _, same = shop
    bench.promote(same, by="dee")
    labels = crossed(bench, named)
    (bench.folder / "parting.toml").write_text(PARTING, encoding="utf-8")
    bench.propose_rules(file=bench.folder / "parting.toml", author="dee")
    rows = bench.rules().frame
    rule = rows.filter(pl.col("name") == "same_suffix")["content_hash"][0]
    for person in ROLES:
        bench.approve(rule, by=person)
    bench.promote(rule, share=0.999, by="dee")
    bench.reconcile()
    bench.draw_audit(rate=0.01, strata="canary", rates={"canary": 1.0})

    with bench.store.snapshot().engine(runs=[bench.store.current_run(REC).run_id]) as engine:
        matched = engine.rows(
            "select event_key from match_members join events using (event_key)"
            " where native_id like 'X%'"
        )
    told = labels.with_columns(
        reconciliation=pl.lit(REC), verdict=pl.lit("same"), reviewer=pl.lit("dee"),
        stream=pl.lit("audit"), inclusion_probability=pl.lit(1.0), effective_at=pl.lit(NOW),
    )  # fmt: skip
    bench.store.add_decisions(told, recorded_at=NOW)
    seen = bench.watch(method="learned").frame.row(0, named=True)

    assert matched.is_empty()  # every named counterpart stands unmatched
    assert (seen["part"], seen["state"]) == ("canary", state)
    assert seen["labels"] >= 55  # a share of 99.9 % of 60 components
    assert seen["wrong"] == (0 if named == "b" else seen["labels"])


def test_a_late_day_beside_a_trial_is_made_in_full_and_says_why(shop):
    """While something is tried, and on the first day after it, nothing is carried over."""
    bench, model, _ = shop
    bench.promote(model, share=0.4, by="dee")
    bench.reconcile()
    more(bench, range(800, 804))
    bench.reconcile()
    first = bench.store.current_run(REC).evaluated
    bench.rollback(kind="model", by="ana")
    bench.reconcile()

    why = "in full: a model or rule is, or was, tried on a share of components"
    assert [first, bench.store.current_run(REC).evaluated] == [why, why]


def test_two_trials_that_could_not_be_told_apart_are_refused(shop):
    """A second model or rule beside the first, and a share of what acts on all."""
    bench, model, rule = shop
    used = bench.store.current_run(REC).model_hash
    named = bench.certify(by="dee").certificate_id
    for person in ROLES:
        bench.approve(named, by=person)
    bench.promote(model, share=0.4, by="dee")

    with pytest.raises(
        GovernanceError, match=rf"{model[:12]} is tried on a share of components no"
    ):
        bench.promote(named, share=0.2, by="dee")
    bench.rollback(kind="model", by="ana")
    bench.promote(named, share=0.2, by="dee")
    with pytest.raises(
        GovernanceError, match=f"{named[:12]} is tried on a share of components now"
    ):
        bench.promote(model, share=0.4, by="dee")
    with pytest.raises(GovernanceError, match="is in force for all components; a share of them"):
        bench.promote(used, share=0.4, by="dee")
    assert bench.promote(used, by="dee").notes[0].endswith("is in force already.")
    assert bench.store.current_run(REC).model_hash == used
    with pytest.raises(SettingsError, match="share 1: a change is tried on a share of components"):
        bench.compare(change=rule, share=1.0)
