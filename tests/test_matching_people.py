"""What two tellings of one person, memo or invoice have in common: from raw values to levels."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from recon_kit.ledger.engine import Engine, open_engine
from recon_kit.matching import features, rarity
from recon_kit.matching.comparisons import Terms, comparisons
from recon_kit.model import UTC, WHO_SCHEMA
from recon_kit.values import parse_duration

TERMS = Terms(parse_duration("2d"), parse_duration("30d"))
OPEN = {
    "event_ts": UTC, "ts_precision": pl.String(), "amount": pl.Int64(), "currency": pl.String(),
    "presentment_amount": pl.Int64(), "presentment_currency": pl.String(),
    "description": pl.String(), "invoice_number": pl.String(), "click_id": pl.String(),
}  # fmt: skip
Told = dict[str, str]


def fill(engine: Engine, pairs: list[tuple[Told, Told]], *, rare: bool = False) -> None:
    """`side_left` and `side_right`: the tellings of each pair, as comparisons read them."""
    who: list[dict[str, Any]] = []
    for side, shift in (("left", 0), ("right", 1_000)):
        rows = []
        for i, pair in enumerate(pairs):
            told = pair[side == "right"]
            key = {"eid": i + shift, "event_key": f"{side}{i:03}"}
            rows.append(key | {c: told.get(c) for c in OPEN})
            who.append({c: told.get(c) for c in WHO_SCHEMA} | {"event_key": key["event_key"]})
        schema = {"eid": pl.Int64(), "event_key": pl.String(), **OPEN}
        engine.put(f"open_{side}", pl.DataFrame(rows, schema=schema))
    engine.put("who", pl.DataFrame(who, schema=WHO_SCHEMA))
    features.prepare(engine, [])
    rarity.attach_rarity(engine, {"else": "16"} if rare else rarity.count_terms(engine))


def levels(
    name: str, has: set[str], pairs: list[tuple[Told, Told]], *, rare: bool = False
) -> list[str]:
    """The level of the comparison `name` on which each pair of tellings stands.

    `rare` takes every term for a rare one; else these rows are all there are.
    """
    (ladder,) = (c for c in comparisons(has, TERMS) if c.name == name)
    with open_engine() as engine:
        fill(engine, pairs, rare=rare)
        found = engine.rows(
            f"""select {ladder.level_sql()} as level from side_left l
            join side_right r on r.seq = l.seq order by l.seq"""
        )
    return [ladder.levels[n].label if n >= 0 else "nothing to compare" for n in found["level"]]


def test_one_person_told_twice():
    """Misspelt domains, tags, swapped and cut names, accents, legal forms, phones, postcodes."""
    ana = {"email": "ana.diaz@gmail.com", "customer_name": "Ana Diaz"}
    cases: list[tuple[Told, Told, str]] = [
        (ana, {"email": " Ana.Diaz@GMAIL.com"}, "same e-mail"),
        (ana, {"email": "ana.diaz@gmial.com"}, "same e-mail user, its domain misspelt"),
        (ana, {"email": "anadiaz+shop@acme.io"}, "same e-mail user"),
        (ana, {"email": "ana.dias@gmail.com", "customer_name": "Ana Dias"},
         "e-mail off by a typo, names alike"),
        (ana, {"customer_name": "DIAZ, Ána"}, "same name, an e-mail not told"),
        (ana, {"customer_name": "A. Diaz"}, "name cut or misspelt, an e-mail not told"),
        (ana, {"customer_name": "Ana Diza"}, "name cut or misspelt, an e-mail not told"),
        (ana, {"email": "office@acme.io", "customer_name": "Diaz Ana"}, "same name"),
        ({"customer_name": "Müller Werkzeuge GmbH"}, {"customer_name": "WERKZEUGE MULLER"},
         "same name, an e-mail not told"),
        ({"customer_name": "Acme Ltd", "postcode": "SW1A 1AA"},
         {"customer_name": "ACME LIMITED", "postcode": "sw1a1aa"}, "same name and postcode"),
        (ana | {"phone": "+49 170 1234567"},
         {"phone": "0170 / 123 45 67", "customer_name": "Bo Moser"}, "same phone"),
        (ana | {"postcode": "10115"}, {"postcode": "10115", "customer_name": "Bo Moser"},
         "same postcode"),
        (ana, {"email": "bo@acme.io", "customer_name": "Bo Moser"}, "different"),
        (ana, {}, "nothing to compare"),
    ]  # fmt: skip
    has = {"email", "name", "phone", "postcode"}
    assert levels("customer", has, [c[:2] for c in cases], rare=True) == [c[2] for c in cases]


def test_a_mailbox_of_many_says_little():
    """Twelve customers who write from one office address are not one customer."""
    office = {"email": "office@acme.io"}
    pairs = [(office | {"customer_name": f"Left{i} A{i}"}, office | {"customer_name": f"Q{i} Z{i}"})
             for i in range(12)]  # fmt: skip
    assert set(levels("customer", {"email", "name"}, pairs)) == {"a shared mailbox"}


def test_a_condition_that_is_asked_quickly_gives_the_same_answer():
    """Marks of words and cuts of likeness turn down early only what would be turned down anyway."""
    forenames = ["Ana", "Anna", "Jo", "Joanne", "Bo", "Li", "Ole", "Zoe"]
    surnames = ["Diaz", "Dias", "Diza", "Johansson", "Johanson", "Ng", "Ane Li", "Bo", ""]
    names = [f"{a} {b}".strip() for a in forenames for b in surnames]
    told = [
        {
            "customer_name": name,
            "email": f"{name.lower().replace(' ', '.')}@a.io",
            "description": name,
        }
        for name in names
    ]
    every = comparisons({"email", "name", "text"}, TERMS)
    with open_engine() as engine:
        fill(engine, [(one, one) for one in told])
        for ladder in every:
            plain = " ".join(
                f"when {level.sql} then {n}" for n, level in enumerate(ladder.levels) if level.sql
            )
            differ, seen = engine.one(
                f"""select count(*) filter (quick is distinct from plain), count(distinct plain)
                from (select {ladder.level_sql()} as quick, case when {ladder.null_sql} then -1
                    {plain} else {len(ladder.levels) - 1} end as plain
                    from side_left l, side_right r)"""
            )
            assert (differ, int(str(seen)) >= 5) == (0, True)


def test_one_memo_told_twice():
    """Memos are cut off behind, and banks write words in front; what they begin with counts."""
    cases = [
        ("ANA DIAZ RENT MARCH 77", "ana diaz rent ma", "same start, fewer than 1 row in 4"),
        ("SEPA CREDIT ACME TOOLS LTD", "Acme Tools Ltd", "one stands in the other"),
        ("RENT BO MOSER MAY", "Moser Bo", "all words shared"),
        ("GIFT EVA ROSSI", "PETROV", "texts differ"),
    ]
    pairs = [({"description": a}, {"description": b}) for a, b, _ in cases]
    assert levels("text", {"text"}, pairs) == [c[2] for c in cases]


def test_one_invoice_or_click_told_twice():
    """Prefixes and zeros do not matter, a part of the number says less, one wrong digit too."""
    cases = [
        ("INV-000123", "123", "same digits"),
        ("2026-50007", "50007", "the end or the start of the other"),
        ("RE 50017", "50007", "off by one digit"),
        ("RE 81734", "50007", "different"),
        ("RE 81734", "n/a", "nothing to compare"),
    ]
    pairs = [({"invoice_number": a}, {"invoice_number": b}) for a, b, _ in cases]
    assert levels("invoice", {"invoice"}, pairs) == [c[2] for c in cases]
    clicks = [("Cj0KCQ1", "cj0kcq1 "), ("Cj0KCQ1", "Cj0KCQ7"), ("Cj0KCQ1", "EAIaIQob")]
    pairs = [({"click_id": a}, {"click_id": b}) for a, b in clicks]
    assert levels("click", {"click"}, pairs) == ["same", "off by one character", "different"]


def test_what_the_other_side_could_not_meet_is_not_spelt_out():
    """Numbers of orders are spelt out where the payments have memos to look for them in."""
    for payment, spelt in (
        ({}, [None, None]),
        ({"description": "FOR 00012345"}, [None, ["123000"]]),
        ({"invoice_number": "000777"}, ["123000", None]),
    ):
        with open_engine() as engine:
            fill(engine, [({"invoice_number": "INV-0123000"}, payment)])
            assert list(engine.one("select invoice, refs from side_left")) == spelt


def test_names_are_spelt_without_what_writes_them():
    """Tabs, doubled words, legal forms, initials: words in order, the longest, a first letter."""
    cases = [
        ("Ana\tMaria  DIAZ", "ANA DIAZ MARIA", "MARIA", "A"),
        ("diaz, ana diaz", "ANA DIAZ", "DIAZ", "A"),
        ("Acme_Ltd.", "ACME", "ACME", "L"),
        ("AG", "AG", "AG", None),
        ("B. Ng", "NG", "NG", "B"),
        ("x", None, None, None),
    ]
    with open_engine() as engine:
        fill(engine, [({"customer_name": name}, {}) for name, *_ in cases])
        found = engine.rows("select name, name_last, name_first from side_left order by seq").rows()
    assert found == [tuple(case[1:]) for case in cases]


@pytest.mark.parametrize("looked_at", [["left000", "right000"], ["left000"]])
def test_personal_fields_are_read_once_for_one_evaluation(looked_at: list[str]):
    """Whom the second look met is told by what it read of them; `who` is read where one is new."""
    told = {"customer_name": "Ana Diaz", "email": "ana@a.io", "phone": "1234567", "postcode": "9"}
    with open_engine() as engine:
        fill(engine, [(told, told)])
        plain = engine.rows(f"from {features.TABLE} order by all")
        for side in ("left", "right"):
            engine.put(
                f"open_{side}",
                engine.rows(f"select *, eid + 7 as pool_eid from open_{side}"),
            )
        opened = "(from open_left union all from open_right)"
        seen = engine.rows(f"select pool_eid as eid, event_key from {opened} order by eid")
        engine.put("second_look", seen.filter(pl.col("event_key").is_in(looked_at)))
        names = "email, customer_name, phone, postcode"
        engine.put("people", engine.rows(
            f"select eid, {names} from second_look join who using (event_key)"
        ))  # fmt: skip
        if len(looked_at) == 2:
            engine.put("who", engine.rows("from who limit 0"))
        features.prepare(engine, [])
        assert engine.rows(f"from {features.TABLE} order by all").rows() == plain.rows()
