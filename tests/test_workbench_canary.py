"""A certificate tried on a share of components: what it matches, how it is judged, its end."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest
from certified_shop import NOW, answer, make

from recon_kit import cli
from recon_kit.errors import GovernanceError, SettingsError
from recon_kit.workbench.bench import Workbench

REC = "orders_to_payments"
TWINS = 30


@pytest.fixture(scope="module")
def approved(tmp_path_factory):
    """The keyless shop with look-alikes; a certificate is proven and approved, not promoted."""
    folder = tmp_path_factory.mktemp("canary") / "shop"
    bench = make(folder)
    bench.draw_audit(rate=0.5)
    answer(bench)
    named = bench.certify(by="dee").certificate_id
    for person in ("ana", "bo", "cy"):
        bench.approve(named, by=person)
    look_alikes(bench)
    return folder, named


@pytest.fixture
def shop(approved, tmp_path):
    """A copy of it, to be changed, and the id of the certificate."""
    folder, named = approved
    shutil.copytree(folder, tmp_path / "shop")
    return Workbench(tmp_path / "shop", clock=lambda: NOW), named


def look_alikes(bench):
    """Customers who order twice, of one amount within the hour: four events that compete."""
    shop, card = ["Order,Time,Total,Mail,Name"], ["Id,Time,Amount,Mail,Name"]
    for n in range(TWINS):
        who = f"{11 + n}.40,twin{n}@mail.io,Twin{n} Pair{n}"
        for k, minute in (("a", "05"), ("b", "35")):
            shop.append(f"T{n}{k},2026-04-{n % 20 + 1:02} 09:{minute},{who}")
            card.append(f"Q{n}{k},2026-04-{n % 20 + 1:02} 10:{minute},{who}")
    for name, lines in (("shop", shop), ("card", card)):
        path = bench.folder / f"{name}_twins.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        bench.ingest(name, path)


def standing(bench):
    """The current run: what the canary judged, what is matched by which certificate, proposals."""
    bench.reconcile()
    run = bench.store.current_run(REC).run_id
    with bench.store.snapshot().engine(runs=[run]) as engine:
        tried = engine.rows("from canary_events order by event_key, method")
        made = engine.rows(
            "select l.event_key, m.certificate_id from matches m join match_members l "
            "using (match_id) where m.method = 'probable' and l.side = 'left' order by all"
        )
        asked = engine.rows("select distinct left_key as event_key from proposals order by all")
    return tried, made, asked


def test_a_canary_matches_in_its_components_alone(shop):
    """On trial: matched under the certificate. All others: proposed, as before the promotion."""
    bench, named = shop
    _, made, before = standing(bench)
    assert made.is_empty()

    said = bench.promote(named, share=0.3, by="dee").notes
    tried, made, asked = standing(bench)

    assert f"certificate {named[:12]} (probable from 1.0 on) is in force on 30 % of com" in said[0]
    assert said[1].startswith("Next: `recon run`; `recon labels draw --strata canary")
    mine = set(tried.filter(side="left")["event_key"])
    assert set(made["certificate_id"]) == {named} == set(tried["certificate_id"])
    assert set(made["event_key"]) <= mine
    assert set(asked["event_key"]) == set(before["event_key"]) - set(made["event_key"])
    # about 30 in 100 of some 200 lone orders and 30 pairs of look-alikes
    assert 40 < made.height < 90
    assert bench.promote().frame.filter(kind="certificate")["state"].to_list() == ["canary on 30 %"]
    assert (
        "canary on 30 % of components, certified until 2026-07-30" in bench.matches().about.line()
    )
    told = [bench.why(key).text() for key in asked["event_key"].head(5)]
    assert "it is probable enough: canary on 30 %" in "".join(told)
    assert bench.store.verify("all") == []


def test_a_component_is_never_split(shop):
    """Two orders and two payments that compete are on trial together or not at all."""
    bench, named = shop
    bench.promote(named, share=0.4, by="dee")

    tried, _, _ = standing(bench)

    with bench.store.snapshot().engine() as engine:
        names = engine.rows("select event_key, native_id, source from events")
    known = tried.join(names, on="event_key")
    twins = known.filter(pl.col("native_id").str.contains("^[TQ]"))
    families = twins.group_by(twins["native_id"].str.extract(r"(\d+)")).agg(
        events=pl.len(), components=pl.col("component").n_unique()
    )
    assert 0 < families.height < TWINS
    assert set(families["events"]) == {4}
    assert set(families["components"]) == {1}
    smallest = tried.filter(side="left").group_by("component").agg(pl.col("event_key").min())
    assert smallest["component"].to_list() == smallest["event_key"].to_list()


def test_widening_adds_and_the_whole_ends_it(shop):
    """What 20 % matched, 60 % matches too; at 1 all stand under the certificate, none on trial."""
    bench, named = shop
    bench.promote(named, share=0.2, by="dee")
    narrow, few, _ = standing(bench)
    bench.promote(named, share=0.6, by="dee")
    wide, more, _ = standing(bench)

    assert set(narrow["event_key"]) < set(wide["event_key"])
    assert set(few["event_key"]) < set(more["event_key"])
    assert bench.promote(named, share=0.6, by="dee").notes[0].endswith("is in force already.")

    bench.promote(named, share=1, by="dee")
    none, every, _ = standing(bench)
    assert none.is_empty()
    assert set(more["event_key"]) < set(every["event_key"])
    assert bench.promote().frame.filter(kind="certificate")["state"].to_list() == ["in force"]
    with pytest.raises(GovernanceError, match="is in force for all components; a share of them"):
        bench.promote(named, share=0.5, by="dee")


def test_rolling_a_canary_back_leaves_what_was_in_force(shop):
    """Nothing else was in force: its matches are proposals again, the reason is on record."""
    bench, named = shop
    bench.promote(named, share=0.3, by="dee")
    _, made, before = standing(bench)

    said = bench.rollback(by="ana", reason="a customer complained").notes[0]

    assert said.endswith(
        "is void as a canary; what is in force for all others acts on its components again."
    )
    tried, none, asked = standing(bench)
    assert (tried.height, none.height, asked.height) == (0, 0, before.height + made.height)
    assert "voided (a customer complained)" in bench.matches().about.line()
    assert bench.promote(named, share=0.3, by="dee").notes[0].endswith("the next run uses it.")
    assert standing(bench)[1].rows() == made.rows()


def test_canary_and_rest_are_held_against_each_other(shop, capsys):
    """Drawn within the canary, answered, watched: labels, automation and money of both parts."""
    bench, named = shop

    def recon(*words):
        with pytest.raises(SystemExit) as done:
            cli.main([*words, "--workspace", str(bench.folder), "--json"])
        out = capsys.readouterr().out
        return done.value.code, json.loads(out) if out else None

    would = recon("compare", "--change", named, "--share", "0.5")[1]
    assert "on 50 % of components" in would["compared"]
    assert recon("promote", named, "--share", "0.5", "--by", "dee")[0] == 0
    assert recon("run")[0] == 0
    assert {m["certificate_id"] for m in recon("matches", "--method", "probable")[1]["rows"]} == {
        named
    }
    before = recon("watch")
    assert (before[0], [r["part"] for r in before[1]["rows"]]) == (4, ["canary", "rest"])
    canary, rest = before[1]["rows"]
    assert (canary["labels"], canary["state"], rest["state"]) == (0, "observe", None)
    assert would["sums"][0]["items"] == canary["matched"]
    assert rest["matched"] == 0 and canary["money"].endswith(" EUR")  # noqa: PT018 - one row each
    # look-alikes are questions in either part: the canary matches all but them
    assert canary["left_events"] - canary["matched"] in range(0, 2 * TWINS + 1, 2)

    drawn = recon("labels", "draw", "--strata", "canary", "--rate", "0.01", "--rates.canary", "1")
    strata = {r["stratum"]: r["new"] for r in drawn[1]["rows"]}
    assert strata["canary"] >= canary["matched"] > 10 * strata["rest"]
    judge(bench, wrong=20)

    code, found = recon("watch", "--apply", "--by", "bo")
    assert (code, found["rows"][0]["state"], found["rows"][0]["wrong"]) == (3, "roll_back", 20)
    assert found["rows"][0]["labels"] == canary["matched"]
    assert found["notes"][0].startswith(f"Canary: certificate {named[:12]} on 50 % of components, ")
    assert "is void as a canary" in found["notes"][-1]
    assert recon("watch")[1]["notes"] == [
        "No certificate of probable is in force; there is nothing to watch."
    ]


def judge(bench, wrong, method="probable"):
    """Answer all drawn items that the run matched; the first have no counterpart after all."""
    run = bench.store.current_run(REC)
    with bench.store.snapshot().engine(runs=[run.run_id]) as engine:
        pairs = engine.rows(
            "select l.event_key as left_key, r.event_key as right_key from matches m "
            "join match_members l using (match_id) join match_members r using (match_id) "
            "where m.method = $1 and l.side = 'left' and r.side = 'right' order by all",
            [method],
        )
    drawn = bench.store.rows("audit_draws").drop_nulls("event_key")["event_key"].implode()
    rows = pairs.filter(pl.col("left_key").is_in(drawn)).with_row_index("row")
    none = pl.col("row") < wrong
    told = rows.select(
        "left_key", right_key=pl.when(~none).then("right_key"), reconciliation=pl.lit(REC),
        verdict=pl.when(none).then(pl.lit("no_counterpart")).otherwise(pl.lit("same")),
        reviewer=pl.lit("dee"), stream=pl.lit("audit"), inclusion_probability=pl.lit(1.0),
        effective_at=pl.lit(NOW),
    )  # fmt: skip
    bench.store.add_decisions(told, recorded_at=NOW)


def test_what_cannot_be_tried_on_a_share_says_why(shop):
    """A share that is none, an unapproved certificate, the model that acts on all."""
    bench, named = shop
    model = bench.promote().frame.filter(kind="model")["content_hash"][0]

    with pytest.raises(GovernanceError, match="share 0 is none: write one above 0 and up to 1"):
        bench.promote(named, share=0.0, by="dee")
    with pytest.raises(GovernanceError, match="is in force for all components; a share of them"):
        bench.promote(model, share=0.5, by="dee")
    with pytest.raises(SettingsError, match="share 0: a change is tried on a share of components"):
        bench.compare(change=model, share=0.0)
