"""Who lets a method match by itself: a certificate, the workspace's own choice, or nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from matching_world import rec

from recon_kit.errors import MatchingError
from recon_kit.matching.authority import authority, in_force, method_hash
from recon_kit.model import Certificate, StoredModel

MAY = datetime(2026, 5, 1, tzinfo=UTC)
HELD = Certificate(
    certificate_id="c1", reconciliation="orders_to_payments", method="probable", model_hash="m1",
    threshold=0.87, margin=0.2, fmr_max=0.02, confidence=0.95, labels=236,
    expires_at=datetime(2026, 6, 30, tzinfo=UTC),
)  # fmt: skip
REVIEW = rec(probable={"enabled": True})
AUTO = rec(probable={"enabled": True, "uncertified": "auto"})


def test_a_certificate_sets_threshold_and_margin() -> None:
    """What was certified counts, not what the settings say; the screen tells the promise."""
    found = authority(REVIEW, "probable", (HELD,), MAY, "m1")

    assert (found.alone, found.threshold, found.margin, found.certificate_id) == (
        True, 0.87, 0.2, "c1",
    )  # fmt: skip
    assert found.said == (
        "certified until 2026-06-30, at most 2.0% wrong with 95% confidence"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("certificates", "model_hash", "as_of", "why"),
    [
        ((), "m1", MAY, "no certificate yet"),
        ((HELD,), "m2", MAY, "the certificate speaks of another model"),
        ((HELD,), "m1", HELD.expires_at, "the certificate expired on 2026-06-30"),
        ((replace(HELD, reconciliation="other"),), "m1", MAY, "no certificate yet"),
        ((replace(HELD, method="window"),), "m1", MAY, "no certificate yet"),
    ],
)
def test_without_one_that_holds_the_settings_decide(certificates, model_hash, as_of, why) -> None:
    """Review by default; where the workspace chose `auto`, its floor and margin, named as such."""
    asked = authority(REVIEW, "probable", certificates, as_of, model_hash)
    chosen = authority(AUTO, "probable", certificates, as_of, model_hash)

    assert (asked.alone, asked.certificate_id) == (False, None)
    assert asked.said == f"for review: {why}; a person decides until one holds"
    assert (chosen.state, chosen.threshold, chosen.margin) == ("uncertified", 0.95, 0.1)
    assert chosen.said == f"uncertified: {why}"


def test_every_method_that_says_how_sure_it_is_is_held_to_the_floor() -> None:
    """A window, a run or a set that matches without a certificate must be 0.95 sure as well."""
    auto = {"enabled": True, "uncertified": "auto"}
    declared = rec(window_method=auto, grouped=auto, decomposed=auto)
    for method in ("window", "grouped", "decomposed"):
        found = authority(declared, method, (), MAY)
        assert (found.state, found.threshold, found.margin) == ("uncertified", 0.95, 0.0)


def test_a_voided_certificate_means_review_even_where_the_workspace_chose_auto() -> None:
    """Something is known to be wrong: nothing is matched until a person has looked."""
    found = authority(AUTO, "probable", (replace(HELD, voided="scores drifted"),), MAY, "m1")

    assert not found.alone
    assert found.said == (
        "for review: the certificate was voided (scores drifted); "
        "a person decides until one holds"
    )  # fmt: skip


TRIED = replace(HELD, certificate_id="c2", threshold=0.7, share=0.1)


def test_a_canary_acts_on_its_share_beside_what_is_in_force() -> None:
    """The settings or the certificate in force rule the rest; the screen tells both."""
    alone = authority(REVIEW, "probable", (TRIED,), MAY, "m1")
    beside = authority(REVIEW, "probable", (HELD, TRIED), MAY, "m1")

    assert (alone.state, alone.share) == ("review", 0.1)
    assert alone.canary is not None
    assert (alone.canary.threshold, alone.canary.certificate_id) == (0.7, "c2")
    assert alone.said == (
        "canary on 10 % of components, certified until 2026-06-30, at most 2.0% wrong with 95% "
        "confidence; elsewhere for review: no certificate yet; a person decides until one holds"
    )
    assert (beside.state, beside.threshold, beside.certificate_id) == ("certified", 0.87, "c1")
    assert beside.canary == alone.canary


@pytest.mark.parametrize(
    "gone",
    [{"voided": "worse"}, {"model_hash": "m2"}, {"expires_at": MAY}],
)
def test_a_canary_that_does_not_hold_acts_nowhere(gone) -> None:
    """Taken back, of another model, or expired: what is in force rules all components."""
    found = authority(REVIEW, "probable", (HELD, replace(TRIED, **gone)), MAY, "m1")

    assert (found.state, found.canary, found.share) == ("certified", None, 1.0)


def test_a_canary_that_failed_alone_means_review_even_where_the_workspace_chose_auto() -> None:
    """Something is known to be wrong, and nothing else was ever proven."""
    found = authority(AUTO, "probable", (replace(TRIED, voided="worse"),), MAY, "m1")

    assert not found.alone
    assert "the certificate was voided (worse)" in found.said


def test_a_method_without_a_model_is_bound_to_the_settings_that_shape_it() -> None:
    """A certificate for a window of ten days says nothing of one of thirty."""
    narrow = rec(window={"before": "1d", "after": "10d"})
    wide = rec(window={"before": "1d", "after": "30d"})
    held = replace(HELD, method="window", model_hash=method_hash(narrow, "window", None))

    assert authority(narrow, "window", (held,), MAY).state == "certified"
    assert authority(wide, "window", (held,), MAY).state == "review"
    assert in_force(narrow, (held,), MAY, StoredModel("m1", "orders_to_payments", "{}")) == {
        "window": "c1"
    }


def test_a_method_that_a_key_proves_has_no_certificate() -> None:
    """Asking for one is a mistake of the caller, and said so."""
    with pytest.raises(MatchingError, match="method 'exact' needs no certificate; known: dec"):
        authority(REVIEW, "exact", (), MAY)
