"""Evidence: what a run keeps of it, and why an event stands where it stands.

Kept is only what cannot be recomputed from the events: weights of scored pairs. All else (keys,
sums, roles) is read off members and events when somebody asks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from recon_kit import model
from recon_kit.errors import UnknownNameError
from recon_kit.ledger.engine import Engine, Step
from recon_kit.safe import quote_ident

OUT = "out_"


def prepare() -> Step:
    """An empty `likely`, for reconciliations that do not score."""
    return Step(
        "likely",
        """
create or replace table method_notes (note varchar);
create or replace table likely (mid bigint, left_eid bigint, right_eid bigint, left_key varchar,
    right_key varchar, match_weight double, match_probability double, margin double,
    rival_key varchar, rival_weight double, equal_answers bigint, levels varchar,
    weights varchar, why_code varchar)""",
        "nothing was scored yet",
    )


def keep_step() -> Step:
    """`out_pair_evidence`: weights cannot be recomputed from the events, so they are kept."""
    return Step(
        "out_pair_evidence",
        """
create or replace table out_pair_evidence as
select coalesce(h.match_id, p.match_id) as match_id, k.left_key, k.right_key,
       k.match_weight as weight, k.levels, k.weights, k.rival_key, k.rival_weight,
       k.equal_answers
from likely k
left join (select match_id, mid from heads where method = 'probable') h
       on h.mid = k.mid and k.why_code is null
left join out_proposals p on p.left_key = k.left_key and p.right_key = k.right_key
where coalesce(h.match_id, p.match_id) is not null""",
        "weights of every scored pair that is a match or a question",
    )


@dataclass(frozen=True, slots=True)
class Why:
    """What one reconciliation says of one event.

    `standing` is `matched`, `attached`, `duplicate`, `open` or `outside` (not on either side).
    `match` is a row of `matches` (none where open), `members` its members with the facts that a
    person compares (`event_key, side, role, counts, allocated_minor, key_used, parent, source,
    event_type, native_id, event_ts, ts_precision, amount, currency`), `evidence` its pairs' weights
    where they cannot be recomputed, `open_item` and `proposals` what is known of an open event.
    `sentence` says it in words.
    """

    event_key: str
    standing: str
    sentence: str
    match: pl.DataFrame
    members: pl.DataFrame
    evidence: pl.DataFrame
    open_item: pl.DataFrame
    proposals: pl.DataFrame


def why(engine: Engine, event_key: str, *, prefix: str = OUT, run_id: str | None = None) -> Why:
    """Explain one event.

    Args:
        engine: after `cascade.reconcile`, or of a snapshot with the views of a run.
        event_key: of any event in view `events`.
        prefix: of the tables to read: `out_` after a reconciliation, empty for a stored run.
        run_id: which stored run, when `prefix` is empty.

    Raises:
        UnknownNameError: no event has that key.
    """
    if not engine.rows("select 1 from events where event_key = ?", [event_key]).height:
        raise UnknownNameError("event", event_key, [], "check the key")
    tables = _Tables(engine, prefix, run_id)
    own = tables.rows("match_members", "event_key = ?", [event_key])
    match_id = own["match_id"][0] if own.height else ""
    match = tables.rows("matches", "match_id = ?", [match_id])
    open_item = tables.rows("open_items", "event_key = ?", [event_key])
    standing = _standing(own, open_item)
    return Why(
        event_key=event_key,
        standing=standing,
        sentence=_sentence(standing, own, match, open_item),
        match=match,
        members=tables.members(match_id),
        evidence=tables.rows("pair_evidence", "match_id = ?", [match_id]),
        open_item=open_item,
        proposals=tables.rows("proposals", "left_key = ? or right_key = ?", [event_key] * 2),
    )


def pair_hash_sql(left: str, right: str) -> str:
    """SQL of `evidence_hash` for two events under the aliases `left` and `right`."""
    ordered = f"{left}.event_key <= {right}.event_key"
    return model.digest_sql(
        f"case when {ordered} then {left}.payload_hash else {right}.payload_hash end",
        f"case when {ordered} then {right}.payload_hash else {left}.payload_hash end",
    )


def members_hash_sql(alias: str) -> str:
    """SQL aggregate of `evidence_hash` over rows with `event_key` and `payload_hash`."""
    return (
        f"left(sha256(string_agg(coalesce({alias}.payload_hash, chr(0)) || chr(31), '' "
        f"order by {alias}.event_key)), 32)"
    )


def evidence_hash(engine: Engine, event_keys: Sequence[str]) -> str:
    """Hash of what a decision on these events rests on: their payloads, in order of their keys.

    `decisions.evidence_hash` holds it: of the pair for `same` and `not_same`, of the event for
    `no_counterpart`, of all members of the match for `accept_residual` and `write_off`.
    """
    rows = engine.rows(
        "select payload_hash from events where list_contains(?, event_key) order by event_key",
        [list(event_keys)],
    )
    return model.digest(*rows["payload_hash"].to_list())


@dataclass(frozen=True, slots=True)
class _Tables:
    engine: Engine
    prefix: str
    run_id: str | None

    def rows(self, table: str, condition: str, values: Sequence[object]) -> pl.DataFrame:
        """Rows of one table of the run, all columns of `model.RUN_TABLES`, in a fixed order."""
        columns = ", ".join(quote_ident(c) for c in model.RUN_TABLES[table])
        where, bound = f"({condition})", list(values)
        if self.run_id is not None:
            where, bound = f"{where} and run_id = ?", [*bound, self.run_id]
        name = quote_ident(self.prefix + table)
        return self.engine.rows(f"select {columns} from {name} where {where} order by all", bound)

    def members(self, match_id: str) -> pl.DataFrame:
        """Members with their facts, principal first."""
        self.engine.put("why_members", self.rows("match_members", "match_id = ?", [match_id]))
        return self.engine.rows(
            """select m.* exclude (match_id), e.source, e.event_type, e.native_id, e.event_ts,
                      e.ts_precision, e.amount, e.currency
               from why_members m join events e using (event_key)
               order by role <> 'principal', not counts, side, event_key"""
        )


def _standing(own: pl.DataFrame, open_item: pl.DataFrame) -> str:
    if own.height:
        role = own["role"][0]
        if role == "duplicate":
            return "duplicate"
        return "matched" if own["counts"][0] else "attached"
    return "open" if open_item.height else "outside"


def _sentence(
    standing: str, own: pl.DataFrame, match: pl.DataFrame, open_item: pl.DataFrame
) -> str:
    if standing == "outside":
        return "stands on neither side, is a test event, or was taken out by a decision"
    if standing == "open":
        return f"{open_item['state'][0]}: {open_item['why'][0]}"
    key, role = own["key_used"][0], own["role"][0]
    text = f"{match['method'][0]} match as {role}"
    if key:
        text += f", joined by {key}"
    text += f"; {match['disposition'][0]}"
    if match["disposition"][0] == "review" and match["discrepancies"][0] is None:
        text += ", above the sign-off limit"
    if match["discrepancies"][0] is not None:
        words = ", ".join(json.loads(match["discrepancies"][0])).replace("_", " ")
        text += f"; disagrees: {words}"
    return text
