"""Which event or match a person means by the name they typed.

A name means the event that is called so before those that merely carry it: a payout's id names the
payout, not the payments in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import polars as pl

from recon_kit import model
from recon_kit.errors import DecisionRefusedError, ReconError, UnknownNameError
from recon_kit.ledger.engine import Engine
from recon_kit.ledger.keys import key_hash
from recon_kit.matching.keys import one_side
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

# The id by which an event of a type is called where its file prints none of its own.
OWN_IDS: dict[str, str] = {
    "order": "order_id", "payment": "transaction_id", "payout": "payout_id",
    "invoice": "invoice_number",
}  # fmt: skip
CALLED = 2  # the last place at which an event is called by a name; behind it, it carries it
_LISTED_MAX = 5
_CARRIED = """
    select event_key, list(distinct kind order by kind) as kinds from keys
    where key_hash = $1 and key = $2 and kind not in ('customer_id', 'business_key', 'parent_key')
    group by event_key order by event_key
"""
_NAMED = f"""
    select e.event_key, e.event_type, e.source, e.event_ts,
      coalesce(e.native_id, e.order_id, e.transaction_id, left(e.event_key, 8)) as name,
      case when e.event_key = $1 then 0
        when e.native_id = $1 or list_contains(c.kinds, 'native_id') then 1
        when list_contains(c.kinds, case e.event_type
          {" ".join(f"when {quote_text(t)} then {quote_text(k)}" for t, k in OWN_IDS.items())}
          end) then {CALLED}
        when e.native_id is null and list_contains(
          c.kinds, if(e.order_id is not null, 'order_id', 'transaction_id')) then {CALLED}
        else {CALLED + 1} end as place
    from (from events where event_key in $listed) e left join named_carried c using (event_key)
    order by place, e.event_ts nulls last, e.event_key
"""
_MATCH = """
    select mm.match_id, min(mm.event_key) filter (side = 'left' and counts) as left_key,
      min(mm.event_key) filter (side = 'right' and counts) as right_key
    from match_members mm join matches m using (match_id, run_id)
    where m.reconciliation = ? and starts_with(mm.match_id, ?)
    group by mm.match_id order by mm.match_id limit 2
"""


class OrderNotFoundError(ReconError):
    """No event carries the id that was asked for."""

    def __init__(self, order: str) -> None:
        super().__init__(
            f"no event carries {order!r} as order, transaction, invoice, payout or native id; "
            "check the spelling, or ingest the file that tells of it"
        )


@dataclass(frozen=True, slots=True)
class AskedFor:
    """A name as typed, or the whole event key that it begins; as keys are kept, and its hash."""

    text: str
    key: str | None
    key_hash: int


def asked_for(engine: Engine, text: str) -> AskedFor:
    """What to look for where somebody asks for a name; see `AskedFor`."""
    whole = whole_key(engine, text)
    key = pl.DataFrame({"raw": [whole]}).select(model.normal_key(pl.col("raw"))).item()
    return AskedFor(whole, key, key_hash(key) if key is not None else 0)


def named(engine: Engine, text: str) -> pl.DataFrame:
    """Every event that a name may mean, the likeliest first.

    Args:
        engine: a snapshot's engine.
        text: an event key, its first eight characters or more, or an id as people write it.

    Returns:
        `event_key, event_type, source, event_ts, name, place`. `place` is 0 where the name is the
        event's key, 1 where its file calls it so, 2 where events of its type go by that id or
        where it has none of its own and screens call it so, 3 where it only carries it.
    """
    asked = asked_for(engine, text)
    carried = engine.rows(_CARRIED, [asked.key_hash, asked.key])
    engine.put("named_carried", carried)
    called = engine.rows(
        "select event_key from events where native_id = ? order by event_key", [asked.text]
    )
    listed = engine.among("named", [asked.text, *called["event_key"], *carried["event_key"]])
    return engine.rows(_NAMED.replace("$listed", listed), [asked.text])


def likeliest(found: pl.DataFrame) -> pl.DataFrame:
    """Of the events that a name may mean, those that fit it equally well and no worse than any."""
    return found.filter(pl.col("place") == pl.col("place").min())


def listed(found: pl.DataFrame) -> str:
    """Some events by type, name, source and the beginning of the key that tells them apart."""
    told = ", ".join(
        f"{r['event_type']} {r['name']} of {r['source']}: {r['event_key'][:12]}"
        for r in found.head(_LISTED_MAX).to_dicts()
    )
    more = found.height - _LISTED_MAX
    return told + (f" and {more:,} more" if more > 0 else "")


def whole_key(engine: Engine, asked: str) -> str:
    """The event key whose beginning was asked for; what was asked for, where none or several fit.

    Events without an id of their own are shown by the first eight characters of their key.
    """
    if not re.fullmatch(r"[0-9a-f]{8,31}", asked):
        return asked
    found = engine.rows(
        "select event_key from events where starts_with(event_key, ?) order by event_key limit 2",
        [asked],
    )
    return str(found.item()) if found.height == 1 else asked


def event_named(
    engine: Engine, rec: Reconciliation, side: Literal["left", "right"], text: str
) -> str:
    """The key of the event on one side that a person names.

    Args:
        engine: a snapshot's engine.
        rec: whose sides are meant.
        side: on which side to look.
        text: an event key, its first eight characters or more, or the native id as its file
            prints it; where nothing is called so, any other id that one event carries.

    Raises:
        UnknownNameError: no event of that side has the name.
        DecisionRefusedError: several have it; the message lists their keys.
    """
    declared = rec.left if side == "left" else rec.right
    found = likeliest(
        named(engine, text).filter(
            pl.col("source").is_in(declared.sources), pl.col("event_type").is_in(declared.types)
        )
    )
    if found.is_empty():
        known = "check the spelling; `recon why ID` says where an event stands"
        raise UnknownNameError(f"{side} event of {rec.name}", text, [], known)
    if found.height > 1:
        how = "are called" if found["place"][0] <= CALLED else "carry"
        raise DecisionRefusedError(
            f"{found.height} {side} events of {rec.name} {how} {text!r}; name one by its event key "
            f"({listed(found)}). Nothing was recorded."
        )
    return str(found["event_key"][0])


def question_named(
    engine: Engine, rec: Reconciliation, text: str, verdict: str
) -> pl.DataFrame | None:
    """The pairs of the proposed answer whose id begins like this; none where there is no such one.

    Args:
        engine: with the run tables of the current run of `rec`.
        rec: whose proposals are meant.
        text: the id of a proposal, or at least its first six characters.
        verdict: what is to be said of it (see `meant_pairs`).
    """
    if len(text) < 6:
        return None
    pairs = engine.rows(
        "select distinct match_id, left_key, right_key from proposals where reconciliation = ?"
        " order by all",
        [rec.name],
    )
    named = pairs.filter(pl.col("match_id").str.starts_with(text))["match_id"].unique()
    if len(named) != 1:
        return None
    one = f"{one_side(rec)}_key"
    asked = pairs.filter(pl.col("match_id") == named[0])[one].unique()
    return meant_pairs(pairs.filter(pl.col(one).is_in(asked.implode())), named[0], verdict)


def meant_pairs(pairs: pl.DataFrame, match_id: str, verdict: str) -> pl.DataFrame:
    """The pairs that a verdict on one answer speaks of: `left_key, right_key`.

    A set that is refused says nothing of what it shares with another answer: only what it alone
    proposes is kept apart.

    Args:
        pairs: of all answers to one question: `match_id, left_key, right_key`.
        match_id: which answer is judged.
        verdict: what is said of it.

    Raises:
        DecisionRefusedError: all that it proposes is proposed by another answer as well.
    """
    keys = ["left_key", "right_key"]
    mine = pairs.filter(pl.col("match_id") == match_id).select(keys).unique(maintain_order=True)
    if verdict != "not_same" or mine.height < 2:
        return mine
    others = pairs.filter(pl.col("match_id") != match_id)
    alone = mine.join(others, on=keys, how="anti", maintain_order="left")
    if alone.is_empty():
        raise DecisionRefusedError(
            "every part of this answer is proposed in another one as well, so refusing it would "
            "refuse those too: choose the right answer instead, or say that there is none. "
            "Nothing was recorded."
        )
    return alone


def match_named(engine: Engine, rec: Reconciliation, text: str) -> tuple[str, str] | None:
    """A left and a right member of the match whose id begins like this; none where none or several.

    Args:
        engine: with the run tables of the current run of `rec`.
        rec: whose matches are meant.
        text: a match id, or at least its first six characters.
    """
    if len(text) < 6:
        return None
    found = engine.rows(_MATCH, [rec.name, text])
    return (found["left_key"][0], found["right_key"][0]) if found.height == 1 else None
