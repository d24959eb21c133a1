"""The life of a change, from the rows that people appended."""

from __future__ import annotations

from ledger_kit import DAY, T0, complete

from recon_kit.ledger.tables import TABLES
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
