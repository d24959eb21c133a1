"""What cases are read from: matches, their members and events, gathered in one pass over each.

A late day gathers from what it matched again, and from what hangs on the matches it left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from recon_kit.ledger.engine import Step
from recon_kit.safe import quote_ident, quote_text
from recon_kit.settings import Reconciliation, Side


@dataclass(frozen=True, slots=True)
class CaseTables:
    """Where the results stand from which cases are made.

    `matches` and `members` are what an evaluation made; of matches that a late day left alone
    only the members in `hung` count: those which are neither principal nor part. `events` shows
    most of the events that all these speak of; the others are looked up among all.
    """

    matches: str = "out_matches"
    members: str = "out_match_members"
    hung: str | None = None
    events: str | None = None


def gather_steps(rec: Reconciliation, tables: CaseTables) -> tuple[Step, ...]:
    """What the later steps read, in one pass over matches, members and events each."""
    hung = f"\nunion all by name from {quote_ident(tables.hung)}" if tables.hung else ""
    return (
        Step(
            "case_heads",
            f"""
create or replace table case_heads as
from {quote_ident(tables.matches)}
where disposition = 'review' or residual_minor <> 0 or discrepancies is not null
  or match_id in (select match_id from out_open_items where match_id is not null)""",
            "the matches that may be cases",
        ),
        Step(
            "case_members",
            f"""
create or replace table case_members as
from {quote_ident(tables.members)}
where role not in ('principal', 'part') or match_id in (select match_id from case_heads){hung}""",
            "their members, and what is a duplicate or hangs on any match",
        ),
        Step(
            "case_events",
            f"""
create or replace table case_keys as
select event_key from case_members
union select event_key from out_open_items where event_key is not null
union select left_key from out_proposals union select right_key from out_proposals
union select event_key from duplicates union select kept_key from duplicates;
create or replace table case_events as
{_events_sql(rec, tables)}""",
            "and every event that a case may speak of",
        ),
    )


def _events_sql(rec: Reconciliation, tables: CaseTables) -> str:
    columns = """event_key, source, event_type, status, amount, refunded_amount, fee, currency,
  artefact_sha256"""
    disputes = f"({attached_sql(rec)} and event_type = 'chargeback')"
    wanted = "select event_key from case_keys where event_key is not null"
    if tables.events is None:
        return f"select {columns} from events e where event_key in ({wanted}) or {disputes}"
    near = quote_ident(tables.events)
    return f"""
select {columns} from {near} e where event_key in ({wanted}) or {disputes}
union all
select {columns} from (
  from events e where event_key in ({wanted} and event_key not in (select event_key from {near}))
    or {disputes}) anti join {near} using (event_key)"""


def texts(values: tuple[str, ...]) -> str:
    """A list of SQL text literals in brackets, never empty."""
    return "(" + (", ".join(quote_text(v) for v in values) or "null") + ")"


def side_sql(side: Side, alias: str = "e") -> str:
    """Which events stand on a side, by source and type."""
    return (
        f"({alias}.source in {texts(side.sources)} and {alias}.event_type in {texts(side.types)})"
    )


def attached_sql(rec: Reconciliation, alias: str = "e") -> str:
    """Events that hang on a side without entering its sum."""
    if not rec.attach:
        return "false"
    sources = (*rec.left.sources, *rec.right.sources)
    return (
        f"({alias}.source in {texts(sources)} and {alias}.event_type in {texts(rec.attach)}"
        f" and not {side_sql(rec.left, alias)} and not {side_sql(rec.right, alias)})"
    )
