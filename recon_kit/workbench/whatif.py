"""What would have decided otherwise: the smallest change, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import polars as pl

from recon_kit import money
from recon_kit.matching import counterfactual, evidence
from recon_kit.matching.authority import Authority
from recon_kit.matching.beside import Beside
from recon_kit.settings import Reconciliation

# Why a pair that is probable by itself is not even asked about.
NOT_ASKED = "its rivals leave too little of that to ask about, or it was no pair that was looked at"


@dataclass(frozen=True)
class Stakes:
    """What decided.

    `allowed` is what the probabilistic method may do by itself, `zone` that of the workspace,
    `further_keys` are declared keys that join the event's match as well.
    """

    rec: Reconciliation
    allowed: Authority
    zone: str
    further_keys: Sequence[str] = ()


def sentences(stakes: Stakes, found: evidence.Why, near: Beside) -> tuple[str, ...]:
    """What would change where an event stands, nearest to the decision first.

    Args:
        stakes: what decided.
        found: what the run says of the event.
        near: what comes near it, with the standing of every comparison.
    """
    rec, allowed = stakes.rec, stakes.allowed
    if found.match.height:
        told = [*_residual(rec, found), *_sign_off(rec, found)]
        method = str(found.match["method"][0])
        if method == "exact":
            told.append(_joined(found, stakes.further_keys))
        elif method == "probable":
            told += _fallen(found, near, allowed)
        return tuple(filter(None, told))
    waiting, risen = _waiting(found, stakes.zone), _risen(rec, found, near, allowed)
    return tuple(filter(None, [*waiting, *risen]))


def allowed_minor(rec: Reconciliation, left_sum: int) -> int:
    """How many minor units two sums may differ (as `matching.keys.allowed_sql` does)."""
    share = int(abs(left_sum) * rec.tolerance.percent / 100)
    return max(rec.tolerance.minor_units, share)


def _residual(rec: Reconciliation, found: evidence.Why) -> list[str]:
    match = found.match.row(0, named=True)
    left, right, currency = match["left_sum"], match["right_sum"], match["currency"]
    if left is None or right is None or not currency or left == right:
        return []
    gap, may = abs(left - right), allowed_minor(rec, left)
    shown = money.display(gap, currency)
    limit = money.display(may, currency)
    if gap <= may:
        return [f"its residual of {shown} is within the tolerance of {limit}"]
    over = money.display(gap - may, currency)
    return [f"its residual of {shown} is {over} above the tolerance of {limit}"]


def _sign_off(rec: Reconciliation, found: evidence.Why) -> list[str]:
    match = found.match.row(0, named=True)
    limits = rec.sign_off_over or {}
    sums = [abs(s) for s in (match["left_sum"], match["right_sum"]) if s is not None]
    if match["disposition"] != "review" or match["currency"] not in limits or not sums:
        return []
    limit = int(limits[match["currency"]].scaleb(money.exponent(match["currency"])))
    over = max(sums) - limit
    if over <= 0:
        return []
    shown = money.display(over, match["currency"])
    return [f"{shown} less and it would need no sign-off"]


def _joined(found: evidence.Why, further_keys: Sequence[str]) -> str:
    # what hangs on it, such as a refund, is joined by a key of its own
    mine = found.members.filter(pl.col("role").is_in(["principal", "part"]))
    used = mine["key_used"].drop_nulls().unique().sort().to_list()
    if not used:
        return ""
    name = " and ".join(used)
    if further_keys:
        return f"without its {name} it would be joined by {further_keys[0]} as well"
    return f"only {name} joins it: with another one it would not stand in this match"


def _waiting(found: evidence.Why, zone: str) -> list[str]:
    if found.open_item.is_empty():
        return []
    item = found.open_item.row(0, named=True)
    due = item["expected_by"]
    if item["state"] == "in_flight" and due is not None:
        moment = due.astimezone(ZoneInfo(zone))
        return [f"in flight until {moment:%Y-%m-%d %H:%M} {zone}; overdue from then on"]
    if item["state"] == "not_covered":
        return ["a file of the other side that covers its time would tell whether it is missing"]
    return []


def _risen(rec: Reconciliation, found: evidence.Why, near: Beside, allowed: Authority) -> list[str]:
    """What the best open candidate lacks."""
    why = found.open_item["why_code"].to_list()
    if "id_conflict" in why:
        told = "the key agrees, but amount, customer and time all speak against it"
        return [f"{told}: with one of them it would be matched by key"]
    best = _best_pair(found, near)
    if best is None or near.prior is None:
        return []
    standing, probability, reason = best
    if found.proposals.is_empty() and probability >= rec.probable.review_min:
        reason = "not_asked"
    doubts = {
        "not_asked": f"its likeliest counterpart is {probability:.2f} by itself; {NOT_ASKED}",
        "uncertified": f"at {probability:.2f} it is probable enough: {allowed.said}",
        "margin": f"its best rival comes nearer than the margin of {allowed.margin:.2f}",
    } | dict.fromkeys(("ambiguous", "currency", "unscored", "amounts_differ"), "")
    if reason in doubts:
        return [doubts[reason]]
    found_flip = counterfactual.flip(near.ladders, standing, probability, allowed.threshold)
    return [_sentence(found_flip, "it would be matched" if allowed.alone else "it would reach")]


def _fallen(found: evidence.Why, near: Beside, allowed: Authority) -> list[str]:
    """The least that would make a question of a match."""
    members = set(found.members["event_key"])
    mine = near.pairs.filter(pl.col("other_key").is_in(members))
    confidence = found.match["confidence"][0]
    if mine.is_empty() or confidence is None or confidence < allowed.threshold:
        return []
    flip = counterfactual.flip(
        near.ladders, mine["standing"][0].to_list(), confidence, allowed.threshold
    )
    return [_sentence(flip, "it would be a question")]


def _best_pair(found: evidence.Why, near: Beside) -> tuple[list[int], float, str | None] | None:
    """Standing, probability and doubt of the pair proposed, else of the likeliest open one."""
    keys = pl.col("left_key") + pl.col("right_key")
    asked = found.proposals.filter(pl.col("method") == "probable").drop_nulls("confidence")
    if asked.height:
        top = asked.sort("confidence", "match_id", descending=[True, False]).row(0, named=True)
        pair = near.pairs.filter(keys == top["left_key"] + top["right_key"])
        if pair.is_empty():
            return None
        return pair["standing"][0].to_list(), top["confidence"], top["why_code"]
    alone = likeliest_open(near)
    return (*alone, None) if alone else None


def likeliest_open(near: Beside) -> tuple[list[int], float] | None:
    """Standing and probability, its rivals not weighed, of the likeliest pair that is open."""
    free = near.pairs.filter(pl.col("free")).drop_nulls("match_weight")
    if free.is_empty():
        return None
    return free["standing"][0].to_list(), 1 / (1 + 2 ** -free["match_weight"][0])


def _sentence(flip: counterfactual.Flip | None, then: str) -> str:
    if flip is None:
        return "no change of what was compared would be enough"
    changes = " and ".join(f"{c.comparison} were '{c.level}' (now '{c.now}')" for c in flip.changes)
    told = f"if {changes} {then} at {flip.probability:.2f}"
    if flip.needed > 0:
        return f"{told}; it needs {flip.needed:.1f} bits more"
    return f"{told}; it has {-flip.needed:.1f} bits to lose"
