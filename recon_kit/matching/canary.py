"""What acts on a share of components first, a certificate, model or rule: which ones those are.

Events that compete for one another hang together in a component. A component is on trial where the
hash of the id of what is tried and of the component's name, read as a fraction, lies below the
share: nobody chooses, every machine finds the same, a wider share only adds to a narrower one, and
another certificate, model or rule tries others. A component is never split: what competes is judged
by one certificate, one model, one set of rules.

| method | component | its name |
| --- | --- | --- |
| learned | events joined by pairs of any rule, one of them the rule on trial | as below |
| probable | events joined by pairs that might be matched | smallest key of its left events |
| window | two events, each the only candidate of the other | key of the left one |
| grouped, decomposed | a lump and the items that add up to it | key of the lump |

An answer of the last two that shares an event with another is a question under any certificate, so
those that a certificate judges have a component each. Where a model is on trial, a pair that either
model would look at joins its events, so that both models are held to the same components; on trial
stands what the new model makes of them, exactly as if it had scored everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching.authority import Authority
from recon_kit.matching.rules import Rule
from recon_kit.model import RUN_TABLES, StoredModel
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation


@dataclass(frozen=True, slots=True)
class Trials:
    """The model and the rule that act on a share of components, beside what is in force.

    A rule on trial stands there in place of the rule of its name, where there is one.
    """

    model: StoredModel | None = None
    model_share: float = 1.0
    rule: Rule | None = None
    rule_share: float = 1.0

    @property
    def words(self) -> tuple[str, ...]:
        """What a run depends on of them; empty where nothing is on trial."""
        model = (self.model.model_hash, repr(self.model_share)) if self.model else ()
        rule = (self.rule.content_hash, repr(self.rule_share)) if self.rule else ()
        return ("model on trial", *model) * bool(model) + ("rule on trial", *rule) * bool(rule)


NO_TRIALS = Trials()


def prepare() -> Step:
    """`on_trial`: nothing is, before a method finds what a canary judges."""
    return Step(
        "on_trial",
        "create or replace table on_trial"
        " (method varchar, certificate_id varchar, eid bigint, component varchar)",
        "events that a canary judges, in eids of the pool",
    )


def choose(engine: Engine, method: str, allowed: Authority, members: str) -> None:
    """Put the events of the components that a certificate is tried on; without a canary, nothing.

    Args:
        engine: after `prepare`.
        method: whose components.
        allowed: what the method may do.
        members: a query of `eid, component`, the name of the component that each stands in.
    """
    if allowed.canary is not None:
        place(engine, method, allowed.canary.certificate_id or "", allowed.share, members)


def place(engine: Engine, method: str, tried: str, share: float, members: str) -> None:
    """Put the events of the chosen components on trial.

    Args:
        engine: after `prepare`.
        method: whose components.
        tried: hash of the certificate, model or rule on trial.
        share: of how many components.
        members: a query of `eid, component`, the name of the component that each stands in.
    """
    named = quote_text(tried)
    engine.run(
        Step(
            f"{method}.on_trial",
            f"""
insert into on_trial
select distinct {quote_text(method)}, {named}, eid, component from ({members})
where {fraction_sql(named, "component")} < {share!r}""",
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
    """Whether an event stands in a component on trial; of a method one thing is at a time."""
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
        "what was tried on which events, matched or not",
    )
