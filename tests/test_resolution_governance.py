"""The life of a change, from the rows that people appended."""

from __future__ import annotations

import pytest
from ledger_kit import DAY, T0, complete

from recon_kit.errors import MatchingError
from recon_kit.ledger.tables import TABLES
from recon_kit.matching.rules import Rule
from recon_kit.resolution import governance


def certificate(seq, name, method="probable", threshold=0.9):
    """A row of `certificates`."""
    return {
        "seq": seq, "certificate_id": name, "reconciliation": "orders_to_payments",
        "method": method, "model_hash": "m1", "threshold": threshold, "margin": 0.1,
        "fmr_max": 0.02, "confidence": 0.95, "labels": 149, "expires_at": T0 + 90 * DAY,
    }  # fmt: skip


def word(seq, name, verdict, note=None):
    """A row of `approvals`."""
    return {
        "seq": seq, "content_hash": name, "kind": "certificate", "approver": "ana",
        "verdict": verdict, "note": note,
    }  # fmt: skip


def now(rows, words):
    """What is in force: certificate, threshold and why it is void, by method."""
    found = governance.certificates(
        complete(rows, TABLES["certificates"].columns),
        complete(words, TABLES["approvals"].columns),
        "orders_to_payments",
    )
    return [(c.method, c.certificate_id, c.threshold, c.voided) for c in found]


def test_a_certificate_counts_once_it_was_promoted():
    """Proven and approved is not yet in force; the newest promotion of a method counts."""
    rows = [
        certificate(1, "c1"),
        certificate(2, "c2", threshold=0.8),
        certificate(3, "w", "window"),
    ]

    assert now(rows, [word(4, "c1", "approved")]) == []
    assert now(rows, [word(4, "c1", "promoted")]) == [("probable", "c1", 0.9, None)]
    words = [word(4, "c1", "promoted"), word(5, "c2", "promoted"), word(6, "w", "promoted")]
    assert now(rows, words) == [("probable", "c2", 0.8, None), ("window", "w", 0.9, None)]


def test_going_back_is_a_new_row_and_a_void_one_says_why():
    """An old certificate comes back by another row; what was voided stays known with its reason."""
    rows = [certificate(1, "c1"), certificate(2, "c2", threshold=0.8)]
    words = [word(3, "c1", "promoted"), word(4, "c2", "promoted")]

    voided = [*words, word(5, "c2", "voided", "scores drifted")]
    assert now(rows, voided) == [("probable", "c2", 0.8, "scores drifted")]
    assert now(rows, [*voided, word(6, "c1", "rolled_back")]) == [("probable", "c1", 0.9, None)]


def test_a_canary_stands_beside_what_acts_on_all():
    """Promoted to a tenth: both act. Widened, it is still one; to all, it is alone."""
    rows = [certificate(1, "c1"), certificate(2, "c2", threshold=0.8)]
    whole, tenth = word(3, "c1", "promoted"), word(4, "c2", "promoted") | {"share": 0.1}
    both = [("probable", "c1", 1.0, None), ("probable", "c2", 0.1, None)]

    assert shares(rows, [whole, tenth]) == both
    wider = [whole, tenth, word(5, "c2", "promoted") | {"share": 0.5}]
    assert shares(rows, wider) == [both[0], ("probable", "c2", 0.5, None)]
    assert shares(rows, [*wider, word(6, "c2", "promoted")]) == [("probable", "c2", 1.0, None)]
    assert shares(rows, [*wider, word(6, "c1", "promoted")]) == [("probable", "c1", 1.0, None)]


def test_a_canary_that_was_taken_back_says_why():
    """What acts on all is untouched; where nothing did, the canary alone is known as void."""
    rows = [certificate(1, "c1"), certificate(2, "c2", threshold=0.8)]
    tenth, void = word(4, "c2", "promoted") | {"share": 0.1}, word(5, "c2", "voided", "worse")

    assert shares(rows, [word(3, "c1", "promoted"), tenth, void]) == [
        ("probable", "c1", 1.0, None), ("probable", "c2", 0.1, "worse"),
    ]  # fmt: skip
    assert shares(rows, [tenth, void]) == [("probable", "c2", 0.1, "worse")]


def shares(rows, words):
    """What is in force: certificate, share of components and why it is void, by method."""
    found = governance.certificates(
        complete(rows, TABLES["certificates"].columns),
        complete(words, TABLES["approvals"].columns),
        "orders_to_payments",
    )
    return [(c.method, c.certificate_id, c.share, c.voided) for c in found]


def ruling(name, minor_units=0, days=90):
    """A rule of orders_to_payments."""
    return Rule.model_validate({
        "name": name, "reconciliation": "orders_to_payments",
        "conditions": [{"test": "amount", "minor_units": minor_units}],
        "created": T0, "expires": T0 + days * DAY,
    })  # fmt: skip


def ruled(rules, words, as_of=T0, *, on_trial=False, **change):
    """Names and allowances of the rules in force; or of the one on trial, with its share."""
    rows = [
        {"seq": i, "reconciliation": "orders_to_payments", "content_hash": r.content_hash,
         "json": r.text, "author": "bo", **change}
        for i, r in enumerate(rules)
    ]  # fmt: skip
    said = [
        word(seq, rules[i].content_hash, verdict)
        | {"kind": "rule", "share": share[0] if share else None}
        for seq, i, verdict, *share in words
    ]
    known = (
        complete(rows, TABLES["rules"].columns), complete(said, TABLES["approvals"].columns),
        "orders_to_payments", as_of,
    )  # fmt: skip
    if on_trial:
        tried = governance.rule_on_trial(*known)
        return (tried[0].name, tried[0].conditions[0].minor_units, tried[1]) if tried else None
    found = governance.rules(*known)
    return [(r.name, r.conditions[0].minor_units) for r in found]


def test_a_rule_counts_once_it_was_promoted_and_until_it_expires():
    """Written or approved is not yet in force; from the moment of its expiry it is no more."""
    rules = [ruling("cents"), ruling("bookings", days=30)]
    both = [(5, 0, "promoted"), (6, 1, "promoted")]

    assert ruled(rules, []) == ruled(rules, [(5, 0, "approved")]) == []
    assert ruled(rules, both) == [("bookings", 0), ("cents", 0)]
    assert ruled(rules, both, T0 + 30 * DAY) == [("cents", 0)]
    assert ruled(rules, [*both, (7, 0, "voided")]) == [("bookings", 0)]


def test_of_two_contents_of_one_rule_the_last_put_in_force_counts():
    """Going back is another row that points at the old content."""
    rules = [ruling("cents"), ruling("cents", minor_units=2)]
    both = [(5, 0, "promoted"), (6, 1, "promoted")]

    assert ruled(rules, both) == [("cents", 2)]
    assert ruled(rules, [*both, (7, 0, "rolled_back")]) == [("cents", 0)]
    assert ruled(rules, [*both, (7, 1, "voided")]) == [("cents", 0)]


def test_an_approval_is_bound_to_the_very_text():
    """A text that is not the approved one is refused, whoever put it there."""
    rule = ruling("cents")
    with pytest.raises(MatchingError, match="rule 'cents' is not the text that was approved"):
        ruled([rule], [(5, 0, "promoted")], json=ruling("cents", minor_units=9).text)


def in_use(models, words, as_of_seq=None):
    """The model a run would score with."""
    rows = [
        {"seq": seq, "model_hash": name, "reconciliation": "orders_to_payments", "json": "{}"}
        for seq, name in models
    ]
    return governance.model_in_use(
        complete(rows, TABLES["models"].columns),
        complete([row | {"kind": "model"} for row in words], TABLES["approvals"].columns),
        "orders_to_payments",
        as_of_seq,
    )


def test_a_trained_model_is_a_candidate_until_it_is_promoted():
    """Training puts nothing in force: runs keep the model they learned, however old it is."""
    models = [(1, "learned"), (2, "trained")]
    proposed = word(3, "trained", "proposed")

    assert in_use([], []) is None
    assert in_use(models, [proposed]) == "learned"
    assert in_use(models, [proposed, word(4, "trained", "approved")]) == "learned"
    assert in_use(models, [proposed, word(4, "trained", "promoted")]) == "trained"


def test_a_run_as_of_then_scores_with_the_model_of_then():
    """What was promoted later does not count; a candidate stays one whenever it was proposed."""
    models = [(1, "learned"), (2, "trained")]
    words = [word(3, "trained", "proposed"), word(4, "trained", "promoted")]

    assert in_use(models, words, 2) == "learned"
    assert in_use(models, words, 4) == "trained"


def test_going_back_to_the_learned_model_is_a_new_row():
    """A rollback names the model that was in use before."""
    models = [(1, "learned"), (2, "trained"), (6, "learned_anew")]
    words = [word(3, "trained", "proposed"), word(4, "trained", "promoted")]

    assert in_use(models, words) == "trained"
    assert in_use(models, [*words, word(7, "learned", "rolled_back")]) == "learned"
    assert in_use(models, [*words, word(7, "trained", "voided")]) == "learned_anew"


def on_trial(models, words):
    """The model that acts on a share of components, and its share."""
    rows = [{"seq": n, "model_hash": name, "reconciliation": "orders_to_payments"}
            for n, name in enumerate(models)]  # fmt: skip
    found = governance.model_on_trial(
        complete(rows, TABLES["models"].columns),
        complete([row | {"kind": "model"} for row in words], TABLES["approvals"].columns),
        "orders_to_payments",
    )
    return (found.content_hash, found.share) if found else None


def test_a_model_on_a_share_is_used_by_no_others():
    """It is on trial until it is taken back or any model is put in force for all."""
    models = [(1, "learned"), (2, "trained")]
    tried = [word(3, "trained", "proposed"), word(4, "trained", "promoted") | {"share": 0.1}]
    wider = [*tried, word(5, "trained", "promoted") | {"share": 0.5}]

    assert (in_use(models, tried), on_trial(["trained"], tried)) == ("learned", ("trained", 0.1))
    assert on_trial(["trained"], wider) == ("trained", 0.5)
    assert on_trial(["trained"], [*wider, word(6, "trained", "voided")]) is None
    ended = [*wider, word(6, "trained", "promoted")]
    assert (in_use(models, ended), on_trial(["trained"], ended)) == ("trained", None)
    back = [*wider, word(6, "learned", "rolled_back")]
    assert (in_use(models, back), on_trial(["learned", "trained"], back)) == ("learned", None)


def test_a_rule_on_a_share_stands_beside_the_one_in_force():
    """The one of its name goes on elsewhere, until the new one is put in force for all."""
    rules = [ruling("cents"), ruling("cents", minor_units=2)]
    whole, tried = (5, 0, "promoted"), (6, 1, "promoted", 0.25)

    assert ruled(rules, [whole, tried]) == [("cents", 0)]
    assert ruled(rules, [whole, tried], on_trial=True) == ("cents", 2, 0.25)
    assert ruled(rules, [whole, tried, (7, 1, "voided")], on_trial=True) is None
    assert ruled(rules, [whole, tried, (7, 1, "promoted")]) == [("cents", 2)]
    assert ruled(rules, [whole, tried, (7, 1, "promoted")], on_trial=True) is None
