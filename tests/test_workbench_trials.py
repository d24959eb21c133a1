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
    assert said[1].endswith("or recon rollback --kind model.")
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
