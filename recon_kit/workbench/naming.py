"""Which event or match a person means by the name they typed."""

from __future__ import annotations

from typing import Literal

import polars as pl

from recon_kit import model
from recon_kit.errors import DecisionRefusedError, UnknownNameError
from recon_kit.ledger.engine import Engine
from recon_kit.ledger.keys import key_hash
from recon_kit.matching.keys import one_side
from recon_kit.settings import Reconciliation
from recon_kit.workbench.history import whole_key

_BY_ID = """
    select event_key from events e
    where e.source in (select s from named_sources)
      and e.event_type in (select t from named_types)
      and (e.event_key = ? or e.native_id = ?
        or e.event_key in (
          select event_key from keys where kind = 'native_id' and key_hash = ? and key = ?))
    order by e.event_key limit 3
"""
# What a file prints beside the event: an order number, a processor's reference, an invoice.
_BY_ANY = """
    select distinct e.event_key from keys k join events e using (event_key)
    where k.key_hash = ? and k.key = ? and e.source in (select s from named_sources)
      and e.event_type in (select t from named_types)
    order by e.event_key limit 3
"""
_MATCH = """
    select mm.match_id, min(mm.event_key) filter (side = 'left' and counts) as left_key,
      min(mm.event_key) filter (side = 'right' and counts) as right_key
    from match_members mm join matches m using (match_id, run_id)
    where m.reconciliation = ? and starts_with(mm.match_id, ?)
    group by mm.match_id order by mm.match_id limit 2
"""


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
    engine.put("named_sources", pl.DataFrame({"s": declared.sources}))
    engine.put("named_types", pl.DataFrame({"t": declared.types}))
    key = pl.DataFrame({"raw": [text]}).select(model.normal_key(pl.col("raw"))).item()
    whole = whole_key(engine, text)
    hashed = key_hash(key) if key is not None else 0
    found = engine.rows(_BY_ID, [whole, whole, hashed, key])["event_key"].to_list()
    found = found or engine.rows(_BY_ANY, [hashed, key])["event_key"].to_list()
    if not found:
        raise UnknownNameError(f"{side} event of {rec.name}", text, [])
    if len(found) > 1:
        keys = ", ".join(k[:12] for k in found[:2])
        raise DecisionRefusedError(
            f"several {side} events of {rec.name} are called {text!r}; name one by its event key, "
            f"such as {keys}. Nothing was recorded."
        )
    return str(found[0])


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
