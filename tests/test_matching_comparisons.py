from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from recon_kit.ledger.engine import open_engine
from recon_kit.matching import blocking
from recon_kit.matching.comparisons import Terms, comparisons, days
from recon_kit.matching.ladders import (
    Comparison,
    Level,
    explain,
    kinds,
    splink_settings,
    splink_sql,
    spoken,
)
from recon_kit.matching.schedules import Lag
from recon_kit.values import parse_duration

TERMS = Terms(parse_duration("2d"), parse_duration("30d"), extra=("raw_keys.booking",))
EVERYTHING = {
    "amount", "currency", "ts", "email", "name", "phone", "postcode", "text",
    "name_text", "text_name", "x0",
}  # fmt: skip


def level_of(ladder: Comparison, left: dict[str, object], right: dict[str, object]) -> str:
    """The label of the level that one pair stands on, as DuckDB decides."""
    with open_engine() as engine:
        engine.put("one_left", pl.DataFrame([left]))
        engine.put("one_right", pl.DataFrame([right]))
        sql = f"select {ladder.level_sql()} from one_left l, one_right r"
        number = engine.one(sql)[0]
    assert isinstance(number, int)
    return ladder.levels[number].label if number >= 0 else "nothing to compare"


def ladder(name: str, *has: str, terms: Terms = TERMS) -> Comparison:
    return next(c for c in comparisons(has, terms) if c.name == name)


def money(amount: int | None, currency: str = "EUR", rare: int = 0) -> dict[str, object]:
    return {"amount": amount, "currency": currency, "amount_rare": rare}


@pytest.mark.parametrize(
    ("left", "right", "label"),
    [
        (money(10_000, rare=13), money(10_000), "same amount, fewer than 1 row in 4096"),
        (money(10_000), money(10_000), "same amount, a common one"),
        (money(10_000), money(9_998), "off by at most 3 minor units"),
        (money(10_000), money(9_680), "right is 2 to 3.5 % lower"),
        (money(10_000), money(10_150), "right is 1 to 2 % higher"),
        (money(10_000), money(5_000), "amounts differ"),
        (money(10_000), money(10_000, "USD"), "currencies differ"),
        (money(None), money(10_000), "nothing to compare"),
        (money(-10_000), money(10_000), "amounts differ"),
    ],
)
def test_amount_levels(left, right, label):
    """Amounts stand on the level that their difference, its direction and rarity give."""
    assert label == level_of(ladder("amount", "amount", "currency"), left, right)


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("right is 2 to 3.5 % lower", "the payment is 2 to 3.5 % lower"),
        ("left less the fee that right tells", "the order less the fee that the payment tells"),
        ("left name in right text", "order name in payment text"),
        ("same amount, a common one", "same amount, a common one"),
    ],
)
def test_levels_are_spoken_of_what_the_events_are(label, told):
    """Left and right are told as order and payment; two of one kind keep their sides."""
    assert told == spoken(label, "order", "payment")
    assert label == spoken(label, "bank line", "bank line")


def test_a_time_by_habit_is_told_without_praise_or_blame():
    """Late may speak for a pair where strangers are later still: no label calls it too late."""
    lags = tuple(
        Lag("shop", name, 600, 3_600, 7_200, 10_800, 86_400, 172_800, 1, 500) for name in ("a", "b")
    )
    labels = [level.label for level in ladder("lag", "ts", terms=replace(TERMS, lags=lags)).levels]

    assert labels == [
        "the usual time", "on the early side of usual", "on the late side of usual",
        "as late as 4 in 100 are", "at an unusual time, within the window", "outside the window",
    ]  # fmt: skip


def test_presented_amount_is_compared_in_the_shared_currency():
    """A charge of 65.40 USD presented as 60.00 EUR equals an order of 60.00 EUR."""
    order = {**money(6_000), "shown": None, "shown_currency": ""}
    charge = {**money(6_540, "USD"), "shown": 6_000, "shown_currency": "EUR"}
    shown = ladder("amount", "amount", "shown")
    assert level_of(shown, order, charge) == "same amount, a common one"
    assert level_of(shown, charge, order) == "same amount, a common one"
    assert level_of(shown, {**order, "currency": "GBP"}, charge) == "nothing to compare"


@pytest.mark.parametrize(
    ("gap", "instant", "label"),
    [
        (1_800, True, "within the hour after"),
        (30_000, True, "8 to 24 hours after"),
        (0, False, "same day"),
        (86_400, False, "1 day after"),
        (82_800, False, "1 day after"),  # the day on which clocks go forward
        (-86_400, False, "1 day before"),
        (-172_800, False, "2 days before"),
        (30 * 86_400, False, "22 to 30 days after"),
        (31 * 86_400, False, "outside the window"),
    ],
)
def test_lag_levels(gap, instant, label):
    """Time is right minus left, in hours between instants, in days between dates."""
    left = {"ts": 1_000_000_800, "instant": instant}
    right = {"ts": 1_000_000_800 + gap, "instant": instant}
    assert label == level_of(ladder("lag", "ts"), left, right)


DAY = 1_000_080_000  # midnight that begins a day


@pytest.mark.parametrize(
    ("left", "right", "label"),
    [
        ((DAY, False), (DAY + 60, True), "same day"),
        ((DAY, False), (DAY + 86_340, True), "same day"),
        ((DAY, False), (DAY + 86_460, True), "1 day after"),
        ((DAY, False), (DAY - 60, True), "1 day before"),
        ((DAY + 86_340, True), (DAY, False), "same day"),
        ((DAY + 86_340, True), (DAY + 86_400, False), "1 day after"),
        ((DAY, False), (DAY + 86_400, False), "1 day after"),
        ((DAY, True), (DAY + 60, True), "within the hour after"),
    ],
)
def test_a_time_of_the_day_that_the_other_side_tells_alone_is_of_the_same_day(left, right, label):
    """A bill of the ninth and a charge at a quarter past two of the ninth are of one day."""
    rows = [{"ts": ts, "noon": ts + 43_200 * (not instant), "instant": instant}
            for ts, instant in (left, right)]  # fmt: skip
    assert label == level_of(ladder("lag", "ts", "noon"), *rows)


@pytest.mark.parametrize(
    ("text", "count"), [("5d", 5), ("36h", 2), ("90m", 1), ("5bd", 8), ("10bd", 15), ("8bh", 4)]
)
def test_days_of_a_window(text, count):
    """Durations become whole calendar days that are never too short."""
    assert count == days(parse_duration(text))


def test_default_odds_are_ordered_and_positive():
    """Every level has a positive m and u, and the last level tells against a pair."""
    for found in comparisons(EVERYTHING, TERMS):
        assert all(level.m > 0 and level.u > 0 for level in found.levels)
        assert found.levels[-1].m < found.levels[-1].u
        assert found.levels[-1].sql is None


def test_splink_reads_the_same_conditions():
    """`l.` and `r.` become Splink's suffixes, functions and numbers stay."""
    sql = "abs(l.amount - r.amount) <= 3 and l.text_words = r.text_words"
    expected = 'abs("amount_l" - "amount_r") <= 3 and "text_words_l" = "text_words_r"'
    assert expected == splink_sql(sql)
    ladders = comparisons({"amount"}, TERMS)
    m = {c.name: [v.m for v in c.levels] for c in ladders}
    settings = splink_settings(ladders, m, m, 0.01)
    levels = settings["comparisons"][0]["comparison_levels"]
    assert levels[0]["is_null_level"]
    assert levels[-1]["sql_condition"] == "ELSE"


def test_explain_is_a_waterfall():
    """The prior first, then comparisons by strength, then the sum."""
    records = explain(
        {"amount": "same amount", "lag": "1 day after"},
        {"prior": -8.0, "lag": 4.0, "amount": 9.5},
    )
    assert [r["step"] for r in records] == ["prior", "amount", "lag", "match weight"]
    assert [r["to"] for r in records] == [-8.0, 1.5, 5.5, 5.5]
    assert records[1] == {
        "step": "amount", "level": "same amount", "weight": 9.5, "from": -8.0, "to": 1.5,
    }  # fmt: skip


def test_ladder_takes_the_first_level_that_holds():
    """The expression numbers levels from the top, -1 where there is nothing to compare."""
    steps = (Level("both", "l.a = r.a", 0.9, 0.1), Level("else", None, 0.1, 0.9))
    sql = Comparison("a", "a", "l.a is null", steps).level_sql()
    assert sql == "case when l.a is null then -1 when l.a = r.a then 0 else 1 end"


def rows(amounts: list[int], words: list[str]) -> pl.DataFrame:
    count = len(amounts)
    return pl.DataFrame(
        {
            "eid": range(count), "seq": range(1, count + 1), "amount": amounts,
            "currency": ["EUR"] * count, "ts": [1_000_000 + 10 * i for i in range(count)],
            "shown": [None] * count, "shown_currency": [""] * count, "name": words,
        },
        schema_overrides={"shown": pl.Int64, "shown_currency": pl.String},
    )  # fmt: skip


NAMED = blocking.Rule(
    "same name", (blocking.Rung("name", "name", "window"), blocking.Rung("name", "name", "equal"))
)


def test_a_common_key_goes_on_to_the_narrower_rung():
    """A name that everybody has pairs only rows of the same amount; a rare one pairs freely."""
    amounts = [*range(1_000, 1_300), 5]
    names = ["ANA"] * 300 + ["ZOE"]
    with open_engine() as engine:
        engine.put("side_left", rows(amounts, names))
        engine.put("side_right", rows([*amounts[:-1], 7], names))
        counts = blocking.block(engine, [NAMED], (86_400, 86_400), 10_000)
        assert engine.count("candidate_pairs") == 301
    assert [(c.form, c.keys_over) for c in counts] == [("window", 1), ("equal", 0)]
    assert blocking.notes(counts, [NAMED]) == []


def test_a_common_price_is_looked_at_only_on_the_same_and_the_next_day():
    """Twenty orders and payments of 9.99 in twenty days: who paid what, the price cannot tell."""
    (rule,) = blocking.rules({"amount"})
    daily = rows([999] * 20, ["ANA"] * 20).with_columns(ts=86_400 * (10 + pl.col("seq")))
    with open_engine() as engine:
        engine.put("side_left", daily)
        engine.put("side_right", daily)
        counts = blocking.block(engine, [rule], (2 * 86_400, 30 * 86_400), 10_000)
        apart = engine.rows("select r - l as d, count(*) as n from candidate_pairs group by d")
    assert [(c.form, c.keys_over) for c in counts] == [("window", 1), ("day", 0)]
    assert sorted(apart.rows()) == [(0, 20), (1, 19)]


def test_what_is_left_out_is_said():
    """Pairs over the budget on the narrowest rung are counted in a note."""
    with open_engine() as engine:
        engine.put("side_left", rows([500] * 200, ["ANA"] * 200))
        engine.put("side_right", rows([500] * 200, ["ANA"] * 200))
        counts = blocking.block(engine, [NAMED], (86_400, 86_400), 1_000)
        assert engine.count("candidate_pairs") == 0
    assert blocking.notes(counts, [NAMED]) == [
        (
            "blocking rule 'same name' (equal) left out 40,000 pairs of 1 key values "
            "that are too common"
        )
    ]


def test_a_common_word_of_a_name_is_looked_at_only_beside_close_amounts():
    """Of six called Ana 97.10 finds the orders of 100.00, 80.00 none; the only Zoe finds hers."""
    rule = next(r for r in blocking.rules({"name", "amount"}) if r.name == "a word of the name")
    words = pl.Series("words", [*[["ANA"]] * 6, ["ZOE"]])
    with open_engine() as engine:
        orders, payments = [10_000] * 7, [9_710, 8_000, 8_000, 8_000, 8_000, 8_000, 8_000]
        engine.put("side_left", rows(orders, ["-"] * 7).with_columns(words))
        engine.put("side_right", rows(payments, ["-"] * 7).with_columns(words))
        counts = blocking.block(engine, [rule], (86_400, 86_400), 10_000)
        found = engine.rows(
            "select amount, count(*) as n from candidate_pairs c join side_right r on r.seq = c.r"
            " group by amount order by amount"
        )
    assert [(c.form, c.keys_over) for c in counts] == [("near", 1), ("close", 0)]
    assert found.rows() == [(8_000, 1), (9_710, 6)]


def test_a_word_that_is_common_beside_close_amounts_too_is_looked_at_on_the_day():
    """Ten called Ana paid 97.10 for 100.00 on ten days: whose it is only the day can tell."""
    rule = next(r for r in blocking.rules({"name", "amount"}) if r.name == "a word of the name")
    words, day = pl.Series("words", [["ANA"]] * 10), 86_400 * (10 + pl.col("seq"))
    with open_engine() as engine:
        for side, amount in (("left", 10_000), ("right", 9_710)):
            daily = rows([amount] * 10, ["-"] * 10).with_columns(words, ts=day)
            engine.put(f"side_{side}", daily)
        counts = blocking.block(engine, [rule], (2 * 86_400, 30 * 86_400), 10_000)
        apart = engine.rows("select r - l as d, count(*) as n from candidate_pairs group by d")
    assert [(c.form, c.keys_over) for c in counts] == [
        ("near", 1), ("close", 1), ("close on the day", 0),
    ]  # fmt: skip
    assert sorted(apart.rows()) == [(0, 10), (1, 9)]


@pytest.mark.parametrize(("form", "low", "high"), [("near", 70, 130), ("close", 90, 103)])
def test_near_amounts_are_found_across_bucket_borders(form, low, high):
    """Every pair within the form's range and the window is a candidate, and no other."""
    left, right = (
        [100, 1_000, 12_345, 0, -700],
        [70, 130, 69, 131, 90, 103, 89, 104, 1_030, 1_300, 999, 16_000, 0, -910, -630, 700],
    )
    rule = blocking.Rule("same name", (blocking.Rung("name", "name", form),))
    with open_engine() as engine:
        engine.put("side_left", rows(left, ["ANA"] * 5))
        engine.put("side_right", rows(right, ["ANA"] * len(right)))
        blocking.block(engine, [rule], (86_400, 86_400), 1_000)
        found = engine.rows("select l, r from candidate_pairs order by l, r").rows()
    expected = [
        (i, j)
        for i, a in enumerate(left, 1)
        for j, b in enumerate(right, 1)
        if abs(a) * low <= abs(b) * 100 <= abs(a) * high and (a > 0) - (a < 0) == (b > 0) - (b < 0)
    ]
    assert expected == found


@pytest.mark.parametrize("before", ["0d", "1d", "3d"])
@pytest.mark.parametrize("after", ["0d", "1d", "14d", "90d"])
def test_strangers_are_turned_down_early_but_never_wrongly(before: str, after: str):
    """Far amounts and times are asked for first, days in seconds: each pair keeps its level."""
    terms = Terms(parse_duration(before), parse_duration(after), usual=True)
    large = [10**13, 10**13 - 290 * 10**9 - 30, 10**13 - 1]
    sums = [None, -10_000, 0, 1, 4, 103, 7_499, 7_500, 9_680, 9_997, 10_000, 12_500, 12_501, *large]
    amounts = [
        {"amount": a, "currency": c, "amount_rare": 10, "fee": 30, "usual_bp": rate,
         "usual_fixed": 30, "usual_cap": cap, "shown": a, "shown_currency": "EUR"}
        for a in sums for c in ("EUR", "USD")
        for rate, cap in ((290, None), (290, 250), (None, None))
    ]  # fmt: skip
    noon = 43_200
    edges = [day * 86_400 + noon + off for day in range(-4, 92) for off in (-1, 0)]
    times = [
        {"ts": t, "instant": i} for t in (None, 0, 3_599, 3_600, *edges) for i in (True, False)
    ]
    one = [{"ts": 0, "instant": True}, {"ts": 0, "instant": False}, {"ts": None, "instant": True}]
    cases = [
        (ladder("amount", "amount", *has, terms=terms), amounts, amounts)
        for has in ((), ("currency",), ("fee", "currency"), ("shown",))
    ]
    with open_engine() as engine:
        for found, left, right in [*cases, (ladder("lag", "ts", terms=terms), one, times)]:
            engine.put("one_left", pl.DataFrame(left, infer_schema_length=None))
            engine.put("one_right", pl.DataFrame(right, infer_schema_length=None))
            steps = " ".join(
                f"when {level.sql} then {n}" for n, level in enumerate(found.levels) if level.sql
            )
            plain = f"case when {found.null_sql} then -1 {steps} else {len(found.levels) - 1} end"
            assert found.beyond is not None
            differ, seen = engine.one(
                f"""select count(*) filter (quick is distinct from plain), count(distinct plain)
                from (select {found.level_sql()} as quick, {plain} as plain
                    from one_left l, one_right r)"""
            )
            assert (differ, int(str(seen)) >= 4) == (0, True)


def test_kinds_of_a_side_are_told_in_words():
    """One or many, one kind or several; a row of no kind is an event."""
    assert kinds(["order"]) == "order"
    assert kinds(["payment", "refund", "bank_line"]) == "payment, refund or bank line"
    assert kinds(["payment", "other"], several=True) == "payments or events"
