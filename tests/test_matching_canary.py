"""Which components a canary judges, told by hand: window pairs and lumps under two regimes."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from matching_world import day, order, payment, rec, reconciled

from recon_kit.matching.authority import method_hash
from recon_kit.model import Certificate

ORDERS = 40


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
