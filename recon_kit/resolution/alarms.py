"""What a source's files say by not coming, by changing their columns, or by their odd days.

Each alarm is a case of the reconciliations that read the source. It closes itself when the file
comes, when the next file has the columns again (or has kept the new ones), and when the odd day is
a week old. A certificate that drift voided is an alarm too, until another is in force; and so are
customers of open items whom no record tells, until one does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

import polars as pl

from recon_kit import model, money, workdays
from recon_kit.ingestion import checks
from recon_kit.ledger.engine import Engine
from recon_kit.matching import keys
from recon_kit.settings import Reconciliation, Settings

ALARM_SCHEMA: dict[str, pl.DataType] = {
    "anchor": pl.String(), "kind": pl.String(), "source": pl.String(), "since": model.UTC,
    "diffs": pl.String(),
}  # fmt: skip
Alarm = tuple[str, str, str, datetime | None, str]


def of_feeds(
    engine: Engine, rec: Reconciliation, settings: Settings, as_of: datetime
) -> pl.DataFrame:
    """Alarms of the sources of a reconciliation, in `ALARM_SCHEMA`.

    Args:
        engine: a snapshot's engine; with the table `headers` of the checks, if columns are to be
            compared.
        rec: whose sources.
        settings: cadences, zone, holidays.
        as_of: the instant of the evaluation.
    """
    names = set(rec.sources)
    found = [
        alarm
        for alarm in (
            *_late(engine, settings, as_of),
            *_said("schema_drift", checks.check_schema_drift(engine, settings, as_of)),
            *_said("volume_spike", checks.check_volume(engine, settings, as_of)),
        )
        if alarm[2] in names
    ]
    return pl.DataFrame(sorted(found, key=lambda a: a[0]), schema=ALARM_SCHEMA, orient="row")


def of_promises(lapsed: pl.DataFrame) -> pl.DataFrame:
    """Certificates voided by drift (`method, reason`), in `ALARM_SCHEMA`."""
    rows = [
        (f"drift:{method}", "drift", None, None, json.dumps({"method": method, "why": reason}))
        for method, reason in lapsed.select("method", "reason").sort("method").iter_rows()
    ]
    return pl.DataFrame(rows, schema=ALARM_SCHEMA, orient="row")


def of_customers(engine: Engine, rec: Reconciliation) -> pl.DataFrame:
    """Open items that name customers whom no record tells, as one alarm in `ALARM_SCHEMA`.

    Items that are overdue or proposed count; their money is told in words, as it is at risk in
    cases of their own. Where `customers` does not say whose ids the records know, a source counts
    if they know any of its ids, and every source if they know none at all.
    """
    if not rec.customers.sources:
        return pl.DataFrame(schema=ALARM_SCHEMA)
    found = engine.rows(untold_sql(rec))
    if found.is_empty():
        return pl.DataFrame(schema=ALARM_SCHEMA)
    by = ", ".join(rec.customers.sources)
    sums = found.drop_nulls("currency").group_by("currency").agg(pl.col("amount").sum())
    totals = sums.sort("currency").rows()
    customers = found["customer_id"].n_unique()
    items = "1 open item" if found.height == 1 else f"{found.height:,} open items"
    whom = "a customer" if customers == 1 else f"{customers:,} customers"
    at_risk = ", ".join(money.display(amount, currency) for currency, amount in totals)
    verb = "names" if found.height == 1 else "name"
    told = f" ({at_risk})" if at_risk else ""
    why = f"{items}{told} {verb} {whom} of whom no record is known: {by}"
    diffs = {"sources": list(rec.customers.sources), "open_items": found.height,
             "customers": customers, "why": why}  # fmt: skip
    row = (
        "customers", "missing_enrichment", rec.customers.sources[0], None, json.dumps(diffs),
    )  # fmt: skip
    return pl.DataFrame([row], schema=ALARM_SCHEMA, orient="row")


def untold_sql(rec: Reconciliation) -> str:
    """Query of `event_key, customer_id, amount, currency`: open items without a record."""
    sides = keys.texts((*rec.left.sources, *rec.right.sources))
    named = f"({keys.key_hash('customer_id')}) is not null"
    own = f"e.source in ({keys.texts(rec.customers.of)})"
    if not rec.customers.of:
        own = "(e.source in (from known_of) or not exists (from known_of))"
    return f"""
        with known as (
          select distinct customer_id from events
          where source in ({keys.texts(rec.customers.sources)}) and test is not true and {named}),
        known_of as (
          select distinct source from events
          where source in ({sides}) and customer_id in (from known))
        select e.event_key, e.customer_id, abs(o.amount_minor) as amount, o.currency
        from out_open_items o join events e using (event_key)
        where o.match_id is null and o.state in ('overdue', 'proposed') and {named}
          and e.customer_id not in (from known) and {own}
        order by amount desc nulls last, e.event_key"""


def _late(engine: Engine, settings: Settings, as_of: datetime) -> Iterator[Alarm]:
    """Sources whose last file is older than their cadence allows, since the next one was due.

    A source from which nothing ever came has no clock.
    """
    place = settings.workspace
    received = dict(
        engine.rows(
            "select source, max(received_at) as received_at from artefacts group by source"
        ).iter_rows()
    )
    for source in settings.sources:
        if source.cadence is None or received.get(source.name) is None:
            continue
        due = workdays.add_duration(
            received[source.name], source.cadence.count, source.cadence.unit,
            place.timezone, place.holidays,
        )  # fmt: skip
        if due < as_of:
            diffs = json.dumps({"source": source.name, "expected_by": due.isoformat()})
            yield f"source:{source.name}", "missing_feed", source.name, due, diffs


def _said(kind: str, findings: list[checks.Finding]) -> Iterator[Alarm]:
    """Findings of a check as alarms; what could not be checked is none."""
    for finding in findings:
        if finding.source is not None:
            diffs = {"source": finding.source, "why": finding.message,
                     "examples": list(finding.examples)}  # fmt: skip
            yield f"{kind}:{finding.source}", kind, finding.source, None, json.dumps(diffs)
