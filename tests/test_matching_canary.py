"""Which components a canary judges, told by hand: window pairs and lumps under two regimes."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from matching_world import day, order, payment, person, rec, reconciled, sharing

from recon_kit.matching import stored
from recon_kit.matching.authority import method_hash
from recon_kit.matching.canary import Trials
from recon_kit.model import Certificate, StoredModel

ORDERS = 40
HOUR = timedelta(hours=1)


def fraction(certificate: str, component: str) -> float:
    """The first 52 bits of a sha256 as a fraction, as anybody may work it out."""
    text = f"{certificate}\x1f{component}".encode()
    return int(hashlib.sha256(text).hexdigest()[:13], 16) / 2**52


def held(settings, method, name="tried", share=0.25) -> Certificate:
    """A certificate of a method with these settings."""
    return Certificate(
        certificate_id=name, reconciliation="orders_to_payments", method=method,
        model_hash=method_hash(settings, method, None), threshold=0.0, margin=0.0, fmr_max=0.02,
        confidence=0.95, labels=149, expires_at=datetime(2027, 1, 1, tzinfo=UTC), share=share,
    )  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
def test_a_window_pair_is_on_trial_by_the_hash_of_its_left_key(threads) -> None:
    """A quarter of forty pairs is matched under the canary, the others are asked."""
    settings = rec(window_method={"enabled": True}, keys=[])
    events = [
        made
        for n in range(ORDERS)
        for made in (
            order(f"o{n:02}", 1_000 + 37 * n, event_ts=day(n % 5)),
            payment(f"p{n:02}", 1_000 + 37 * n, event_ts=day(n % 5 + 1)),
        )
    ]
    mine = [f"o{n:02}" for n in range(ORDERS) if fraction("tried", f"o{n:02}") < 0.25]

    with reconciled(
        events, settings, certificates=(held(settings, "window"),), threads=threads
    ) as world:
        assert 2 <= len(mine) <= 20
        assert world.groups() == [f"{o}+p{o[1:]}" for o in mine]
        assert set(world.matches("certificate_id")) == {("tried",)}
        asked = world.rows("select left_key from out_proposals order by 1")
        assert [a for (a,) in asked] == [
            f"o{n:02}" for n in range(ORDERS) if f"o{n:02}" not in mine
        ]
        assert world.rows(
            "select event_key, side, component from out_canary_events order by all"
        ) == sorted([(o, "left", o) for o in mine] + [(f"p{o[1:]}", "right", o) for o in mine])


def test_the_rest_stays_under_the_certificate_in_force() -> None:
    """Two certificates act beside one another; each match names its own."""
    settings = rec(window_method={"enabled": True}, keys=[])
    events = [
        made
        for n in range(ORDERS)
        for made in (order(f"o{n:02}", 1_000 + 37 * n), payment(f"p{n:02}", 1_000 + 37 * n))
    ]
    both = (held(settings, "window", "whole", share=1.0), held(settings, "window"))

    with reconciled(events, settings, certificates=both) as world:
        named = world.rows(
            "select event_key, certificate_id from out_matches join out_match_members "
            "using (match_id) where side = 'left' order by all"
        )

    assert named == [
        (o, "tried" if fraction("tried", o) < 0.25 else "whole")
        for o in (f"o{n:02}" for n in range(ORDERS))
    ]


def test_a_lump_and_its_items_are_on_trial_together() -> None:
    """Bank lines that add up to two payments: a share of them is matched, whole groups only."""
    settings = rec(grouped={"enabled": True}, keys=[])
    events = []
    for n in range(12):
        parts = (10_000 + 1_511 * n, 7_000 + 977 * n)
        events.append(order(f"o{n:02}", sum(parts), event_ts=day(20 * n)))
        events += [
            payment(f"p{n:02}{k}", part, event_ts=day(20 * n + 1 + k / 10))
            for k, part in enumerate(parts)
        ]
    wide = held(settings, "grouped", share=0.5)
    mine = [f"o{n:02}" for n in range(12) if fraction("tried", f"o{n:02}") < 0.5]

    with reconciled(
        events, settings, certificates=(wide,), as_of=day(300),
        coverage=[(s, day(-60), day(300)) for s in ("shop", "stripe")],
    ) as world:  # fmt: skip
        assert 1 < len(mine) < 12
        assert world.groups() == [f"{o}+p{o[1:]}0+p{o[1:]}1" for o in mine]
        tried = world.rows("select event_key from out_canary_events order by all")
        assert [e for (e,) in tried] == sorted(
            e for o in mine for e in (o, f"p{o[1:]}0", f"p{o[1:]}1")
        )


def test_another_certificate_tries_other_components() -> None:
    """The id is part of the hash: nobody is always the one who is tried."""
    first = {n for n in range(1_000) if fraction("one", f"o{n}") < 0.1}
    second = {n for n in range(1_000) if fraction("two", f"o{n}") < 0.1}

    assert 60 < len(first) < 140
    assert 60 < len(second) < 140
    assert len(first & second) < 30


def named_pairs() -> list[dict[str, object]]:
    """Forty orders whose payments name the customer."""
    return [
        made
        for n in range(ORDERS)
        for made in (
            order(f"o{n:02}", 1_000, customer_id=f"C{n:04}", description=f"V{n % ORDERS:04}"),
            payment(
                f"p{n:02}", 1_000, customer_id=f"C{n:04}", description=f"V{(n + 1) % ORDERS:04}"
            ),
        )
    ]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_rule_on_trial_speaks_in_its_components_alone(threads) -> None:
    """A quarter of forty pairs is matched by the rule, the others stay open; all is on record."""
    rule = sharing("by_customer", "customer_id")
    mine = [f"o{n:02}" for n in range(ORDERS) if fraction(rule.content_hash, f"o{n:02}") < 0.25]

    with reconciled(
        list(reversed(named_pairs())), rec(keys=[]), trials=Trials(rule=rule, rule_share=0.25),
        threads=threads,
    ) as world:  # fmt: skip
        assert 2 <= len(mine) <= 20
        assert world.groups() == [f"{o}+p{o[1:]}" for o in mine]
        assert set(world.matches("method", "rule_id")) == {("learned", rule.content_hash)}
        assert world.rows(
            "select event_key, method, certificate_id, component from out_canary_events order by 1"
        ) == sorted((e, "learned", rule.content_hash, o) for o in mine for e in (o, f"p{o[1:]}"))


def test_a_rule_on_trial_stands_there_for_the_rule_of_its_name() -> None:
    """Outside its components the rule in force goes on; what either joins is one component."""
    old = sharing("partners", "customer_id")
    new = sharing("partners", "description")
    shop = named_pairs()
    # the new rule joins o01 to p00, the old one o00 to p00: in pairs of twins, four events
    for row in shop:
        n = int(str(row["event_key"])[1:])
        row["description"] = f"V{n // 2}{(n % 2) ^ (row['event_type'] == 'payment')}xx"
    twins = [n for n in range(0, ORDERS, 2) if fraction(new.content_hash, f"o{n:02}") < 0.5]

    with reconciled(
        shop, rec(keys=[]), rules=(old,), trials=Trials(rule=new, rule_share=0.5)
    ) as world:
        crossed = [f"o{n + a:02}+p{n + 1 - a:02}" for n in twins for a in (0, 1)]
        straight = [f"o{n:02}+p{n:02}" for n in range(ORDERS) if n - n % 2 not in twins]
        assert 2 < len(twins) < 18
        assert world.groups() == sorted(crossed + straight)
        assert len(world.rows("from out_canary_events")) == 4 * len(twins)


def test_a_rule_on_trial_that_parts_bars_in_its_components_alone() -> None:
    """`not_same` on a share: there the pair is barred, elsewhere the rule in force joins it."""
    same = sharing("by_customer", "customer_id")
    parts = sharing("not_by_customer", "customer_id", verdict="not_same")
    mine = [n for n in range(ORDERS) if fraction(parts.content_hash, f"o{n:02}") < 0.25]

    with reconciled(
        named_pairs(), rec(keys=[]), rules=(same,), trials=Trials(rule=parts, rule_share=0.25)
    ) as world:
        assert world.groups() == [f"o{n:02}+p{n:02}" for n in range(ORDERS) if n not in mine]


def crowd() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Sixty customers, every third of whom orders twice within the hour, one amount; no key."""
    events: list[dict[str, object]] = []
    who = []
    for n in range(60):
        for twice in range(2 if n % 3 == 0 else 1):
            at = day(n % 20 + twice / 48)
            events += [
                order(f"o{n:02}{twice}", 1_000 + 613 * (n % 45), event_ts=at),
                payment(f"p{n:02}{twice}", 1_000 + 613 * (n % 45), event_ts=at + HOUR),
            ]
            mail = f"customer{n}@mail.io"
            name = f"Given{n} Family{n}"
            who += [
                person(f"o{n:02}{twice}", mail, name),
                person(f"p{n:02}{twice}", mail if n % 4 else None, name),
            ]
    return events, who


def blinder(known: StoredModel) -> StoredModel:
    """The same model, to which a customer says little and an amount nothing."""
    trained = stored.read(known)
    m, u = trained.odds()
    m["amount"] = u["amount"]
    m["customer"] = [(a + 3 * b) / 4 for a, b in zip(m["customer"], u["customer"], strict=True)]
    return stored.write(known.reconciliation, replace(
        trained, ladders=stored.with_odds(trained.ladders, m, u)))  # fmt: skip


def stands(world) -> dict[tuple[str, str], tuple[object, ...]]:
    """Every pair that is a match or a question, with what is said of it."""
    rows = world.rows(
        "select l.event_key, r.event_key as other, m.model_hash, m.confidence, m.margin,"
        " 'match', e.weights from out_matches m join out_match_members l using (match_id)"
        " join out_match_members r using (match_id)"
        " left join out_pair_evidence e on e.match_id = m.match_id and e.left_key = l.event_key"
        " and e.right_key = r.event_key"
        " where l.side = 'left' and r.side = 'right' and m.method = 'probable' union all"
        " select p.left_key, p.right_key, model_hash, confidence, margin, why_code, e.weights"
        " from out_proposals p left join out_pair_evidence e using (match_id, left_key, right_key)"
    )
    return {(row[0], row[1]): row[2:] for row in rows}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_model_on_trial_decides_its_components_as_if_it_had_decided_all(threads) -> None:
    """Component by component stands what the one or the other model alone would have made."""
    events, who = crowd()
    settings = rec(probable={"enabled": True, "uncertified": "auto", "review_min": 0.02})
    with reconciled(events, settings, who=who) as world:
        known = world.outcome.model
        present = stands(world)
    assert known is not None
    new = blinder(known)
    with reconciled(events, settings, who=who, model=new) as world:
        alone = stands(world)
    shuffled = random.Random(3).sample(events, len(events))  # noqa: S311 - a seeded order

    with reconciled(
        shuffled, settings, who=who, model=known, threads=threads,
        trials=Trials(model=new, model_share=0.4),
    ) as world:  # fmt: skip
        both = stands(world)
        tried = dict(world.rows("select event_key, component from out_canary_events"))
        assert world.outcome.model == known

    lefts = {c for e, c in tried.items() if e.startswith("o")}
    assert lefts == {c for c in lefts if fraction(new.model_hash, c) < 0.4}
    there = {pair: row for pair, row in alone.items() if pair[0] in tried}
    elsewhere = {pair: row for pair, row in present.items() if pair[0] not in tried}
    assert both == there | elsewhere
    assert min(len(there), len(elsewhere)) > 5
    assert {row[0] for row in there.values()} == {new.model_hash}
    assert {row[0] for row in elsewhere.values()} == {known.model_hash}
    # the models differ in what they make of the very same pairs
    assert there != {pair: present.get(pair) for pair in there}
    assert all((a in tried) == (b in tried) for a, b in both)


def test_a_certificate_speaks_of_one_model_on_trial_or_in_use() -> None:
    """That of the model in use ends at the components on trial; one of the new model acts there."""
    events, who = crowd()
    settings = rec(probable={"enabled": True, "review_min": 0.02})
    with reconciled(events, settings, who=who) as world:
        known = world.outcome.model
    assert known is not None
    new = replace(known, json=known.json.replace('"share":', '"share": '))
    new = replace(new, model_hash=hashlib.sha256(new.json.encode()).hexdigest())
    whole = replace(held(settings, "window", "whole", 1.0), method="probable", threshold=0.5)
    whole = replace(whole, model_hash=known.model_hash)
    own = replace(whole, certificate_id="own", model_hash=new.model_hash, share=0.4)

    for certificates, there in (((whole,), set()), ((whole, own), {"own"})):
        with reconciled(
            events, settings, who=who, model=known, certificates=certificates,
            trials=Trials(model=new, model_share=0.4),
        ) as world:  # fmt: skip
            made = dict(world.rows(
                "select event_key, certificate_id from out_matches join out_match_members"
                " using (match_id) where side = 'left' and method = 'probable'"
            ))  # fmt: skip
            tried = {e for (e,) in world.rows("select event_key from out_canary_events")}
            assert {named for e, named in made.items() if e in tried} == there
            assert {named for e, named in made.items() if e not in tried} == {"whole"}
            assert len(tried & {e for e, _ in stands(world)}) > 5
