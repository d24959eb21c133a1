from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import Engine, open_engine
from recon_kit.matching import estimate, probable, stored
from recon_kit.matching.assign import assign
from recon_kit.matching.comparisons import Terms, comparisons
from recon_kit.matching.ladders import Comparison, Level
from recon_kit.matching.schedules import Lag, Schedule
from recon_kit.matching.stored import Trained
from recon_kit.model import EVENT_SCHEMA, WHO_SCHEMA, StoredModel
from recon_kit.settings import Probable, Reconciliation, Side

BOOKING = pl.concat_str(pl.lit('{"booking":"BK-'), pl.col("true") + 70_000, pl.lit('"}'))
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
FIRST = ("ANA", "BO", "CARLA", "DINO", "EVA", "FLO", "GUS", "HANA", "IVO", "JANA", "KIM", "LEA")
LAST = ("DIAZ", "MOSER", "NKEMELU", "OKAFOR", "PETROV", "QUINTERO", "ROSSI", "SILVA", "TANAKA")

REC = Reconciliation(
    name="orders_to_payments",
    left=Side(sources=("shop",), types=("order",)),
    right=Side(sources=("bank",), types=("bank_line",)),
)


def draw(*parts: object) -> int:
    """A number that depends on nothing but its parts."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:12], 16)


def side(number: int, count: int, *, shift: int = 0, salt: str = "") -> pl.DataFrame:
    """Events of one side: row i of the left and row i of the right tell one story."""
    rows = []
    for i in range(shift, shift + count):
        name = f"{FIRST[draw('f', i) % 12]} {LAST[draw('l', i) % 9]}"
        memo = f"{name} {('PAYMENT', 'GIFT', 'RENT')[draw('m', i) % 3]} {draw('r', i) % 997}"
        amount = 500 + draw("a", i) % 90_000
        lag = draw("g", i) % 3 if number else 0
        if number:
            memo = memo[: 14 + draw("c", i) % 8]
            amount -= amount * (draw("d", i) % 3) // 100
        rows.append(
            {
                "eid": draw("e", number, i, salt) % 2**40,
                "event_key": hashlib.sha256(f"{number}/{i}".encode()).hexdigest()[:32],
                "event_ts": START + timedelta(days=draw("t", i) % 60 + lag),
                "ts_precision": "date",
                "amount": amount,
                "currency": "EUR",
                "presentment_amount": None,
                "presentment_currency": None,
                "description": memo,
                "true": i,
            }
        )
    types = {"presentment_amount": pl.Int64, "presentment_currency": pl.String}
    return pl.DataFrame(rows, schema_overrides=types)


def fill(engine: Engine, left: pl.DataFrame, right: pl.DataFrame) -> None:
    engine.put("open_left", left.drop("true"))
    engine.put("open_right", right.drop("true"))
    engine.put("who", pl.DataFrame(schema=WHO_SCHEMA))


def true_share(engine: Engine, left: pl.DataFrame, right: pl.DataFrame) -> tuple[int, int]:
    """(pairs assigned above one half, how many of them are true)."""
    found = engine.rows("select * from assigned_pairs where match_probability > 0.5")
    joined = found.join(left.select("true", left_eid="eid"), on="left_eid").join(
        right.select("true", right_eid="eid"), on="right_eid"
    )
    return len(joined), joined.filter(pl.col("true") == pl.col("true_right")).height


def test_learns_without_labels_and_finds_the_pairs():
    """From 400 unlabelled rows a side nearly every true pair is found, and hardly a wrong one."""
    left, right = side(0, 400), side(1, 400)
    with open_engine() as engine:
        fill(engine, left, right)
        scored = probable.score(engine, REC, None)
        assign(engine, scored.table, REC.cardinality)
        found, true = true_share(engine, left, right)
    assert scored.learned
    assert true >= 390
    assert found - true <= 4


def test_learns_that_nothing_matches():
    """Two sides that share no story give no pair above one half."""
    left, right = side(0, 400), side(1, 400, shift=1_000)
    with open_engine() as engine:
        fill(engine, left, right)
        assign(engine, probable.score(engine, REC, None).table, REC.cardinality)
        assert true_share(engine, left, right)[0] == 0


def test_model_and_scores_do_not_depend_on_threads_ids_or_row_order():
    """Shuffled rows, other eids and another number of threads give the same model and weights."""
    found = []
    for threads, salt in ((1, "a"), (2, "b")):
        left, right = side(0, 300, salt=salt), side(1, 300, salt=salt)
        with open_engine(threads=threads) as engine:
            fill(engine, left.sort("eid"), right.sort("eid", descending=True))
            scored = probable.score(engine, REC, None)
            assign(engine, scored.table, REC.cardinality)
            assert scored.model is not None
            picked = engine.rows(
                """select l.event_key, r.event_key as other, a.match_weight, a.match_probability,
                    a.margin, a.equal_answers from assigned_pairs a
                join open_left l on l.eid = left_eid join open_right r on r.eid = right_eid
                order by all"""
            )
            found.append((scored.model.json, picked))
    assert found[0][0] == found[1][0]
    assert found[0][1].equals(found[1][1])


def test_learning_that_does_not_settle_keeps_the_model_that_was_there(monkeypatch):
    """Odds that still move when the rounds run out replace nothing, and the run says so."""
    with open_engine() as engine:
        fill(engine, side(0, 200), side(1, 200))
        first = probable.score(engine, REC, None)
        monkeypatch.setattr(estimate, "_ROUNDS_MAX", 1)
        second = probable.score(engine, REC, first.model, retrain=True)
    assert (second.learned, second.model) == (False, first.model)
    said = [note for note in second.notes if "settle" in note]
    assert said[0].startswith("learning had not settled after 1 rounds (last change 0.")
    assert said[1] == "the model that was there is kept: learning a new one did not settle"


@pytest.mark.parametrize(
    ("left_told", "right_told"),
    [
        ({"click_id": "Cj0K{0}"}, {"click_id": "cj0k{0}"}),
        ({"invoice_number": "INV-000{0}"}, {"invoice_number": "{0}"}),
        ({"invoice_number": "INV-26{0}"}, {"invoice_number": "{0}"}),
        ({"order_id": "A-{0}"}, {"description": "wire {0} thank you"}),
        ({"invoice_number": "RE-7-{0}"}, {"description": "wire RE7{0} thank you"}),
        ({"description": "order {0} paid"}, {"order_id": "A-{0}"}),
    ],
)
def test_a_reference_alone_makes_a_candidate(left_told, right_told):
    """A click id, an invoice number (also cut off), a number named in a text: each finds its pair,
    though the amounts are 15 percent apart and nobody tells a name.
    """
    sides = []
    for number, told in ((0, left_told), (1, right_told)):
        frame = side(number, 60).with_columns(pl.lit(None, pl.String).alias("description"))
        frame = frame.with_columns(
            event_ts=pl.lit(START), amount=(20_000 + 1_000 * pl.col("true")) * (100 - 15 * number)
        )
        named = {n: pl.format(t.replace("{0}", "{}"), pl.col("true") + 50_000)
                 for n, t in told.items()}  # fmt: skip
        sides.append(frame.with_columns(**named))
    with open_engine() as engine:
        fill(engine, *sides)
        probable.score(engine, REC, None)
        found = engine.one(
            """select count(*) from candidate_pairs c join side_left l on l.seq = c.l
            join side_right r on r.seq = c.r where r.amount * 100 = l.amount * 85"""
        )
    assert found == (60,)


def named_in_texts(text: str, *, percent: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sixty invoices of one year, and bank lines of so much of them that name them in a text."""
    left, right = (side(n, 60).with_columns(event_ts=pl.lit(START)) for n in (0, 1))
    number = pl.col("true") + 5_000
    amount = 1_000 + 10 * pl.col("true")
    return (
        left.with_columns(
            amount=amount * 100,
            description=pl.lit(None, pl.String),
            invoice_number=pl.format("RE-2026-{}", number),
        ),
        right.with_columns(amount=amount * percent, description=pl.format(text, number)),
    )


@pytest.mark.parametrize("text", ["RE-2026-{}", "RE2026{} U.A.", "NO {} OF 2026"])
def test_the_year_in_the_number_of_every_invoice_names_none_of_them(text):
    """RE-2026-5001 in a text is 5001, however a bank writes it; of 2026 there are sixty."""
    with open_engine() as engine:
        fill(engine, *named_in_texts(text, percent=100))
        probable.score(engine, REC, None)
        told = engine.rows(
            """select contains(o.description, right(i.invoice_number, 4)) as own,
                s.levels ->> '$.ref_text' as level, count(*) as pairs
            from scored_pairs s join open_left i on i.eid = left_eid
            join open_right o on o.eid = right_eid group by all order by all"""
        ).rows()
    assert [row for row in told if row[0] or row[1] != "no number in common"] == [
        (True, "a number in common", 60)
    ]


def test_an_invoice_that_is_named_is_a_candidate_at_any_amount():
    """A transfer of 10.00 that names an invoice of 1,000.00 may be a part of it."""
    with open_engine() as engine:
        fill(engine, *named_in_texts("RE-2026-{}", percent=1))
        probable.score(engine, REC, None)
        found = engine.one("select count(*) from candidate_pairs")
    assert found == (60,)


def test_stored_model_only_scores():
    """A second run with the stored model gives the same scores, and does not learn."""
    with open_engine() as engine:
        fill(engine, side(0, 200), side(1, 200))
        first = probable.score(engine, REC, None)
        weights = engine.rows("select * from scored_pairs order by left_seq, right_seq")
        second = probable.score(engine, REC, first.model)
        again = engine.rows("select * from scored_pairs order by left_seq, right_seq")
    assert not second.learned
    assert first.model == second.model
    assert weights.equals(again)


def test_weights_add_up_to_splinks_weight():
    """The prior and the weights told per comparison sum to the match weight that Splink gives."""
    with open_engine() as engine:
        fill(engine, side(0, 200), side(1, 200))
        probable.score(engine, REC, None)
        rows = engine.rows("select match_weight, levels, weights from scored_pairs")
    assert len(rows) > 150
    for weight, levels, weights in rows.iter_rows():
        told = json.loads(weights)
        assert math.isclose(weight, sum(told.values()), abs_tol=1e-4)
        assert set(json.loads(levels)) == set(told) - {"prior"}


def test_weights_are_those_of_splink_over_the_rows_themselves():
    """Splink weighs patterns of levels here; over whole rows it finds the same weights."""
    from splink import DuckDBAPI, Linker

    with open_engine() as engine:
        fill(engine, side(0, 200), side(1, 200))
        scored = probable.score(engine, REC, None)
        assert scored.model is not None
        for name in ("left", "right"):
            sql = f"select * replace (seq as eid) from side_{name}"
            engine.con.execute(f"create table plain_{name} as {sql}")
        engine.con.execute(
            """create table plain_pairs as select '0' as match_key, 'left-__-' || l as join_key_l,
            'right-__-' || r as join_key_r from candidate_pairs"""
        )
        api = DuckDBAPI(connection=engine.con)
        sides = [api.register(f"plain_{s}", dataset_display_name=s) for s in ("left", "right")]
        settings = probable.as_splink(scored.model, 200, 200, REC)
        linker = Linker(sides, settings, log_level=None)
        linker.table_management.register_blocked_pairs_for_predict(api.register("plain_pairs"))
        name = linker.inference.predict(threshold_match_weight=probable.KEEP_WEIGHT).physical_name
        plain = engine.rows(f"select eid_l, eid_r, match_weight from {name} order by all").rows()
        ours = engine.rows(
            "select left_seq, right_seq, match_weight from scored_pairs order by all"
        ).rows()
    assert len(ours) > 150
    assert [row[:2] for row in ours] == [row[:2] for row in plain]
    assert all(abs(a[2] - b[2]) <= 1e-6 for a, b in zip(ours, plain, strict=True))


def test_barred_pair_is_no_candidate():
    """A pair that a person parted is not scored again."""
    left, right = side(0, 100), side(1, 100)
    barred = {"left_eid": [left["eid"][7]], "right_eid": [right["eid"][7]]}
    with open_engine() as engine:
        fill(engine, left, right)
        engine.put("barred", pl.DataFrame(barred))
        probable.score(engine, REC, None)
        pair = [left["eid"][7], right["eid"][7]]
        sql = "select count(*) from scored_pairs where left_eid = ? and right_eid = ?"
        assert engine.one(sql, pair) == (0,)
        assert engine.one("select count(*) > 50 from scored_pairs") == (True,)


def test_small_data_uses_default_odds():
    """With twelve rows a side nothing is learned, the default odds still find the pairs."""
    left, right = side(0, 12), side(1, 12)
    with open_engine() as engine:
        fill(engine, left, right)
        scored = probable.score(engine, REC, None)
        assign(engine, scored.table, REC.cardinality)
        found, true = true_share(engine, left, right)
    assert any("default odds" in note for note in scored.notes)
    assert true >= 9
    assert found == true


def test_nothing_in_common_is_said():
    """Sides without a field in common give an empty table and a note."""
    left = side(0, 60).with_columns(
        amount=pl.lit(None, pl.Int64), event_ts=pl.lit(None, pl.Datetime("us", "UTC"))
    )
    right = side(1, 60).with_columns(description=pl.lit(None, pl.String))
    with open_engine() as engine:
        fill(engine, left, right)
        scored = probable.score(engine, REC, None)
        assert engine.count("scored_pairs") == 0
    assert scored.model is None
    assert scored.notes == ("the two sides fill no field in common that could be compared",)


def test_one_side_without_rows_is_said():
    """An empty side gives an empty table."""
    with open_engine() as engine:
        fill(engine, side(0, 5), side(1, 5).clear())
        scored = probable.score(engine, REC, None)
        assert engine.count("scored_pairs") == 0
    assert scored.notes == ("one side has no open rows",)


def test_declared_field_is_compared():
    """A booking reference under `raw_keys` finds the pairs where nothing else is told."""
    rec = REC.model_copy(update={"probable": Probable(compare=("raw_keys.booking",))})
    left, right = side(0, 80), side(1, 80)
    silent = [pl.lit(None, pl.String).alias("description"), pl.lit(None, pl.Int64).alias("amount")]
    unsaid = [pl.lit(None).cast(t).alias(c) for c, t in EVENT_SCHEMA.items()]
    events = pl.concat(
        frame.select("event_key", raw_keys=BOOKING).with_columns(
            e for e in unsaid if e.meta.output_name() not in ("event_key", "raw_keys")
        )
        for frame in (left, right)
    )
    with open_engine() as engine:
        fill(engine, left.with_columns(silent), right.with_columns(silent))
        engine.put("events", events)  # all columns of the ledger, as the views of a snapshot have
        assign(engine, probable.score(engine, rec, None).table, rec.cardinality)
        assert true_share(engine, left, right) == (80, 80)
        told = engine.rows("select distinct levels ->> 'x0' as level from scored_pairs")
    assert "same" in told["level"].to_list()


def test_splink_loads_the_stored_model():
    """The stored model is a complete Splink 5 settings dictionary; its charts draw from it."""
    from splink import DuckDBAPI, Linker

    with open_engine() as engine:
        fill(engine, side(0, 100), side(1, 100))
        scored = probable.score(engine, REC, None)
        assert scored.model is not None
        settings = probable.as_splink(scored.model, 100, 100, REC)
        api = DuckDBAPI(connection=engine.con)
        frames = [api.register(f"splink_{s}", dataset_display_name=s) for s in ("left", "right")]
        chart = Linker(frames, settings, log_level=None).visualisations.match_weights_chart()
        assert "text" in json.dumps(chart.chart_dict)


def test_model_that_was_changed_is_refused():
    """A stored model whose text does not fit its hash, or of another format, is an error."""
    with pytest.raises(MatchingError, match="is not what was stored; train it again"):
        stored.read(StoredModel("0" * 64, "orders_to_payments", "{}"))
    text = '{"format":99}'
    with pytest.raises(MatchingError, match="has format 99, this version reads 2"):
        stored.read(StoredModel(hashlib.sha256(text.encode()).hexdigest(), "r", text))


def test_names_of_people_do_not_enter_the_model():
    """Common starts are kept as hashes; the text of no memo is in the model."""
    with open_engine() as engine:
        fill(engine, side(0, 100), side(1, 100))
        model = probable.score(engine, REC, None).model
    assert model is not None
    assert not any(name in model.json for name in ("DIAZ", "NKEMELU", "OKAFOR"))


def test_usual_fee_is_learned():
    """Where the right side is net of 2.9 % and 30, the model finds the schedule and says so."""
    left = side(0, 300)
    right = side(1, 300).join(left.select("true", gross="amount"), on="true")
    net = pl.col("gross") - (pl.col("gross") * 29 + 500) // 1_000 - 30
    right = right.with_columns(amount=pl.when(pl.col("true") % 2 == 0).then(net).otherwise("gross"))
    with open_engine() as engine:
        fill(engine, left, right.drop("gross"))
        scored = probable.score(engine, REC, None)
        assign(engine, scored.table, REC.cardinality)
        found, true = true_share(engine, left, right)
    assert "right amounts are often the left ones less a fee of 2.9 % and 30" in scored.notes
    assert scored.model is not None
    learned = stored.read(scored.model).schedules
    assert [(s.label, s.basis, s.exact) for s in learned] == [("2.9 % and 30", "net", 150)]
    assert true >= 295
    assert found - true <= 2


def test_name_is_found_in_a_bank_memo():
    """Orders that tell only a name meet bank lines that tell only a memo."""
    left, right = side(0, 200), side(1, 200)
    who = left.select(
        "event_key", customer_name=pl.col("description").str.extract("^([A-Z]+ [A-Z]+)")
    )
    absent = [pl.lit(None, pl.String).alias(c) for c in WHO_SCHEMA if c not in who.columns]
    with open_engine() as engine:
        fill(engine, left.with_columns(description=pl.lit(None, pl.String)), right)
        engine.put("who", who.with_columns(absent).select(*WHO_SCHEMA))
        assign(engine, probable.score(engine, REC, None).table, REC.cardinality)
        found, true = true_share(engine, left, right)
        told = engine.rows("select distinct levels ->> 'name_text' as level from scored_pairs")
    assert "all words" in told["level"].to_list()
    assert true >= 170
    assert found - true <= 6


def test_unknown_field_is_refused():
    """A field to compare that no event has is an error naming the setting."""
    rec = REC.model_copy(update={"probable": Probable(compare=("raw_keyz.booking",))})
    with open_engine() as engine:
        fill(engine, side(0, 3), side(1, 3))
        with pytest.raises(MatchingError, match=r"compare: no field is called 'raw_keyz\.booking'"):
            probable.score(engine, rec, None)


def test_written_model_reads_the_same():
    """Reading what was written gives every part back, terms and what labels added included."""
    ladders = comparisons({"amount"}, Terms(REC.window.before, REC.window.after))
    told = Trained(
        ladders=ladders,
        share=0.75,
        rarity={"3": "00aa", "else": "9"},
        extra=("raw_keys.segment",),
        unseen=("amount: off by at most 3 minor units",),
        schedules=(
            Schedule(
                "stripe", "payment", "card", "EUR", False, "card_country", "DE",
                "2026-01-05T09:00:00+00:00", "",
                150, 25, None, "told", 900, 899,
            ),
        ),
        lags=(Lag("shop", "stripe", -40, 0, 60, 600, 7_200, 86_400, 1, 900),),
        calibration={"kind": "platt", "slope": 1.5},
    )  # fmt: skip
    read = stored.read(stored.write("r", told))
    assert read.odds() == told.odds()
    assert (read.schedules, read.lags) == (told.schedules, told.lags)
    assert (read.share, read.rarity, read.extra) == (told.share, told.rarity, told.extra)
    assert read.calibration == {"kind": "platt", "slope": 1.5}
    assert read.classifier is None
    assert stored.write("r", read) == stored.write("r", told)


def test_model_with_odds_that_are_no_probabilities_is_refused():
    """An odd of 0 or NaN would give a score that is no number; such a model scores nothing."""
    steps = (Level("same", "l.a = r.a", 0.9, float("nan")), Level("different", None, 0.1, 0.9))
    told = Trained(ladders=(Comparison("a", "a", "l.a is null", steps),))
    with pytest.raises(MatchingError, match=r"'same' has odds m=0\.9, u=nan, which are no prob"):
        stored.read(stored.write("r", told))
