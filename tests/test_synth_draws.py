"""Chance that is the same everywhere."""

from __future__ import annotations

import numpy as np

from recon_kit.synth import people
from recon_kit.synth.draws import Draws


def test_draws_are_these_numbers_on_every_machine():
    """A seed, a purpose and an index give one number, for ever."""
    draws = Draws(7)

    assert draws.words("a", np.array([-1, 0, 1])).tolist() == [
        13980913614985025713,
        12132045450806633662,
        4220801368994843932,
    ]
    assert draws.below("b", np.arange(6), 100).tolist() == [28, 28, 19, 5, 62, 70]
    assert draws.codes("pi", np.arange(2), "pi_3").to_list() == [
        "pi_3Bzphbp2eparub",
        "pi_3p3mhTfnc3gakb",
    ]


def test_a_part_is_drawn_like_the_whole():
    """Drawing a slice gives the slice of the draw, so files can be made in blocks."""
    draws, ids = Draws(7), np.arange(1_000)

    whole = draws.pick("class", ids, (92, 3, 5))

    assert draws.pick("class", ids[400:450], (92, 3, 5)).tolist() == whole[400:450].tolist()


def test_purposes_and_seeds_are_independent():
    """Another purpose or another seed is another draw."""
    ids = np.arange(50)

    drawn = [
        tuple(Draws(seed).below(purpose, ids, 1_000).tolist())
        for seed in (7, 8)
        for purpose in ("fee", "lag")
    ]

    assert len(set(drawn)) == 4


def test_weights_are_kept():
    """Shares of many draws lie close to their weights."""
    drawn = Draws(1).pick("class", np.arange(100_000), (90, 9, 1))

    assert [round(s, 2) for s in np.bincount(drawn) / 100_000] == [0.90, 0.09, 0.01]


def test_shares_among_few_are_exact():
    """Shared out among forty, a weight of one in ten is four, whatever the seed."""
    found = {
        tuple(np.bincount(Draws(seed).share_out("x", np.arange(40), (90, 10))).tolist())
        for seed in range(5)
    }

    assert found == {(36, 4)}


def test_codes_never_repeat():
    """Different indices have different codes within a purpose."""
    codes = Draws(3).codes("txn", np.arange(200_000), "txn_1")

    assert codes.n_unique() == 200_000
    assert codes.str.len_bytes().unique().to_list() == [18]


def test_people_live_at_example_domains():
    """Nobody's real address can be drawn."""
    mail = people.names(Draws(5), np.arange(2_000))["email"]

    assert mail.str.contains(r"^[a-z0-9.]+@([a-z]+\.)?example\.(com|org|net)$").all()


def test_names_drift_as_named():
    """Each kind of drift does to a name and an address what it is called after."""
    who = people.names(Draws(7), np.zeros(7, dtype=np.int64))
    place = np.full(7, 2, dtype=np.int64)

    names = people.drifted_names(who, np.arange(7), place).to_list()
    mails = people.drifted_emails(who["email"][:6], np.arange(6), place[:6]).to_list()

    assert names == [
        "Tim Sanholm",
        "T Sanholm",
        "Sanholm, Tim",
        "TIM SANHOLM",
        "Tim Sanolm",
        "Tmi Sanholm",
        "Tim M. Sanholm",
    ]
    assert mails == [
        "tim.sanholm2999@example.com",
        None,
        "tim.sanholm2999@letters.example.com",
        "timsanholm2999@example.com",
        "tim.sanholm2999+shop@example.com",
        "timsanholm2999@example.com",
    ]
