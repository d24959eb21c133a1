"""What kinds of cases there are: one row of data for each, no kind is known anywhere else.

Class A resolves itself and is only recorded; B has a named remedy (wait, re-request, re-sync); C
is a person's. The position of a kind says which one names a case that is several at once: the
first. `least` is the priority it has at least, whatever the money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import product
from typing import Literal

import polars as pl

from recon_kit import money

Class = Literal["A", "B", "C"]
Severity = Literal["auto", "review", "block_payout"]
Priority = Literal["P1", "P2", "P3", "P4"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of case.

    `suggested_action` is what to do first, `runbook` how to find out what happened; `{left}` and
    `{right}` in them stand for the sources of a side.
    """

    name: str
    klass: Class
    severity: Severity
    least: Priority
    suggested_action: str
    runbook: str


KINDS: tuple[Kind, ...] = (
    Kind(
        "chargeback", "C", "review", "P2",
        "Answer the dispute before its deadline, or accept it.",
        "Open the dispute at the processor, collect order, shipment and correspondence, and send "
        "them there; the case closes when the dispute is won, lost or reversed.",
    ),
    Kind(
        "payout_break", "C", "block_payout", "P2",
        "Ask the processor for the rows that are missing from, or surplus in, this payout.",
        "Compare the payout's report with the ledger row by row; a missing file is the commonest "
        "cause, a reserve or an adjustment the next.",
    ),
    Kind(
        "id_conflict", "C", "review", "P3",
        "Compare both records: the id they share belongs to one of them only.",
        "Look for a transposed or re-used id; correct it at its source, or decide who belongs "
        "together here.",
    ),
    Kind(
        "ambiguous", "C", "review", "P4",
        "Choose among the equally good answers, or say that none is right.",
        "Compare customer, time and description; only a fact that is not in the files can settle "
        "it.",
    ),
    Kind(
        "refund_without_payment", "C", "review", "P3",
        "Find the payment that was refunded, or confirm that it was refunded elsewhere.",
        "Look up the refund's parent at the processor; an unknown parent may be a payment of an "
        "account that is not ingested.",
    ),
    Kind(
        "fee_mismatch", "B", "review", "P4",
        "Compare the fee with its schedule, and gross with net.",
        "Where the fee is off its schedule, ask the processor for the difference; a changed price "
        "is learned at the next training. Where what is left open equals the fees, one side tells "
        "amounts before them: set `measure`.",
    ),
    Kind(
        "fx_residue", "B", "review", "P4",
        "Check the rate that the processor used; accept the residue if it is right.",
        "Compare the implied rate with the dated one; what is left open lies inside the band.",
    ),
    Kind(
        "rounding", "A", "auto", "P4",
        "Nothing to do: the difference lies within the tolerance.",
        "Each amount may be rounded by one minor unit; a difference beyond the tolerance is a "
        "person's.",
    ),
    Kind(
        "amount_mismatch", "C", "review", "P4",
        "Find the missing part, refund or discount; accept the residual if it is right.",
        "Compare the order with its payments part by part; a late part closes the case by itself.",
    ),
    Kind(
        "status_mismatch", "C", "review", "P4",
        "Correct the side whose status is wrong.",
        "One side says that money moved, the other that it did not; the processor's account is "
        "the proof.",
    ),
    Kind(
        "review", "C", "review", "P4",
        "Say whether the proposed events are the same.",
        "Open the proposal with its evidence; confirm, refuse or mark as unsure.",
    ),
    Kind(
        "missing_right", "B", "review", "P4",
        "Ask {right} for its counterpart, or declare that it has none.",
        "Check the supplier's account for the id, then the nearest candidate, then the period of "
        "the last file.",
    ),
    Kind(
        "missing_left", "B", "review", "P4",
        "Find its counterpart in {left}, or declare that it has none.",
        "Check whether the export of {left} is filtered; money without a record is the graver of "
        "the two.",
    ),
    Kind(
        "missing_feed", "B", "review", "P2",
        "Request the file that is late and ingest it.",
        "Until it comes, what it would cover is unknown and counted nowhere.",
    ),
    Kind(
        "schema_drift", "C", "review", "P3",
        "See whether the mapping still reads what it should; mend it and ingest the file again.",
        "Compare the headers of the last two files; a lost column may have been renamed, a new one "
        "may hold what was elsewhere before.",
    ),
    Kind(
        "drift", "C", "review", "P2",
        "See what changed in the data; draw and label a new audit sample, and certify anew.",
        "The certificate of a method is void because new events are unlike those it was proven on; "
        "until another is in force its matches are proposals. `recon drift` shows every measure.",
    ),
    Kind(
        "volume_spike", "C", "review", "P3",
        "Ask whether the file was cut, doubled or filtered; otherwise note what made the day odd.",
        "Trace the day's files and compare their rows with the supplier's own total; a campaign or "
        "a holiday explains many of these.",
    ),
    Kind(
        "missing_enrichment", "B", "review", "P4",
        "Ask for a newer or fuller file of the customers that open items name.",
        "See whether the records' file is old or filtered, and whether its ids are those that the "
        "sides carry; without a record an item is compared by what it tells itself.",
    ),
    Kind(
        "possible_duplicate", "C", "review", "P4",
        "Say whether this is one movement told twice or two alike.",
        "The row has no id of its own and stands at the edge of two files, or has the content of "
        "another under a new id; look it up at its source.",
    ),
    Kind(
        "late_arrival", "A", "auto", "P4",
        "Nothing to do: it came after its settlement time and is matched.",
        "Many of these mean that `settles_within` is too short or a supplier too slow.",
    ),
    Kind(
        "duplicate", "A", "auto", "P4",
        "Nothing to do: the same movement was told again and is counted once.",
        "Many of these mean that a delivery is repeated.",
    ),
)  # fmt: skip

# A match held together by amounts that were each rounded may miss by that much and no more.
ROUNDING_PER_AMOUNT = 1
# What counts as much money where `sign_off_over` does not say, in units of the currency.
MUCH_MONEY = Decimal(1000)


def kinds_frame(left: Sequence[str], right: Sequence[str]) -> pl.DataFrame:
    """`KINDS` as a table, with `position` (0 names a case first).

    Args:
        left: sources of the left side, which sentences name.
        right: sources of the right side.
    """
    sides = {
        "{left}": " or ".join(dict.fromkeys(left)),
        "{right}": " or ".join(dict.fromkeys(right)),
    }
    rows = [asdict(kind) for kind in KINDS]
    for row, column, (mark, names) in product(rows, ("suggested_action", "runbook"), sides.items()):
        row[column] = row[column].replace(mark, names)
    return pl.DataFrame(rows).with_row_index("position").cast({"position": pl.Int64})


def limits_frame(
    currencies: list[str], sign_off_over: Mapping[str, Decimal] | None
) -> pl.DataFrame:
    """What is much money in each currency: `currency`, `much_minor`.

    The sign-off limit of the reconciliation, else `MUCH_MONEY` units of the currency. Currencies
    that are not ISO 4217 are left out: their amounts count as unknown.
    """
    known = money.currency_exponents()
    declared = sign_off_over or {}
    rows = [
        (code, int(declared.get(code, MUCH_MONEY).scaleb(known[code])))
        for code in sorted(set(currencies))
        if code in known
    ]
    return pl.DataFrame(rows, schema={"currency": pl.String, "much_minor": pl.Int64}, orient="row")


def priority_sql(amount: str, much: str, least: str) -> str:
    """Priority by money at risk: P1 above the limit, P2 above a tenth, P3 above a hundredth.

    An amount or limit that is not known makes P3. Never below the kind's own least priority.
    """
    by_money = (
        f"case when {amount} is null or {much} is null then 'P3' when {amount} > {much} then 'P1'"
        f" when {amount} * 10 > {much} then 'P2' when {amount} * 100 > {much} then 'P3'"
        " else 'P4' end"
    )
    return f"least({by_money}, {least})"
