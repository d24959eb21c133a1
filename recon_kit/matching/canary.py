"""A certificate that acts on a share of components first: which ones, and what is said of each.

Events that compete for one another hang together in a component. A component is on trial where the
hash of the certificate's id and of the component's name, read as a fraction, lies below the share:
nobody chooses, every machine finds the same, a wider share only adds to a narrower one, and another
certificate tries others. A component is never split: what competes is judged by one certificate.

| method | component | its name |
| --- | --- | --- |
| probable | events joined by pairs that might be matched | smallest key of its left events |
| window | two events, each the only candidate of the other | key of the left one |
| grouped, decomposed | a lump and the items that add up to it | key of the lump |

An answer of the last two that shares an event with another is a question under any certificate, so
those that a certificate judges have a component each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching.authority import Authority
from recon_kit.model import RUN_TABLES
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation


def prepare() -> Step:
    """`on_trial`: nothing is, before a method finds what a canary judges."""
    return Step(
        "on_trial",
        "create or replace table on_trial"
        " (method varchar, certificate_id varchar, eid bigint, component varchar)",
        "events that a canary judges, in eids of the pool",
    )


def choose(engine: Engine, method: str, allowed: Authority, members: str) -> None:
    """Put the events of the chosen components on trial.

    Args:
        engine: after `prepare`.
        method: whose components.
        allowed: what the method may do; without a canary nothing is done.
        members: a query of `eid, component`, the name of the component that each stands in.
    """
    if allowed.canary is None:
        return
    named = quote_text(allowed.canary.certificate_id or "")
    engine.run(
        Step(
            f"{method}.on_trial",
            f"""
insert into on_trial
select distinct {quote_text(method)}, {named}, eid, component from ({members})
where {fraction_sql(named, "component")} < {allowed.share!r}""",
            "components whose hash lies below the share",
        )
    )


def fraction_sql(certificate: str, component: str) -> str:
    """A number from 0 to 1 that a component has under a certificate: 52 bits of a sha256."""
    text = f"{certificate} || chr(31) || {component}"
    return f"cast('0x' || left(sha256({text}), 13) as ubigint) / 4503599627370496.0"


def either(allowed: Authority, method: str, eid: str, told: Callable[[Authority], str]) -> str:
    """SQL that tells one thing of events on trial and another of the rest.

    Args:
        allowed: what the method may do.
        method: whose trial.
        eid: SQL of an event's eid of the pool.
        told: SQL under an authority.
    """
    if allowed.canary is None:
        return told(allowed)
    return (
        f"case when {on_trial_sql(method, eid)}\n then {told(allowed.canary)}\n"
        f" else {told(allowed)} end"
    )


def on_trial_sql(method: str, eid: str) -> str:
    """Whether an event stands in a component on trial."""
    return f"{eid} in (select eid from on_trial where method = {quote_text(method)})"


def parts(
    engine: Engine, method: str, allowed: Authority, rows: pl.DataFrame, eid: str
) -> Iterator[tuple[pl.DataFrame, Authority]]:
    """Rows on trial and the rest, each with what the method may do there."""
    if allowed.canary is None:
        yield rows, allowed
        return
    tried = engine.rows("select distinct eid from on_trial where method = $1", [method])["eid"]
    mine = pl.col(eid).is_in(tried.implode())
    yield rows.filter(mine), allowed.canary
    yield rows.filter(~mine), allowed


def keep_step(rec: Reconciliation) -> Step:
    """`out_canary_events`: what was on trial, for the record."""
    told = {
        "reconciliation": quote_text(rec.name),
        "side": "case p.side when 0 then 'left' else 'right' end",
    }
    columns = ", ".join(f"{told.get(c, c)} as {c}" for c in RUN_TABLES["canary_events"])
    return Step(
        "out_canary_events",
        f"""
create or replace view out_canary_events as
select {columns} from on_trial join pool p using (eid)
qualify row_number() over (partition by eid, method order by component) = 1""",
        "which certificate judged which events, matched or not",
    )
