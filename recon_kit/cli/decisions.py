"""Commands that take down what people say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import ArgumentCollection, Group, Parameter

from recon_kit.cli.app import (
    COMMON,
    DONE,
    PARTLY,
    UNKNOWN,
    Common,
    Flag,
    app,
    bench_of,
    labels_app,
    show,
)
from recon_kit.errors import SettingsError


@labels_app.command(name="import")
def labels_import(file: Path, *, reconciliation: str | None = None, common: Common = COMMON) -> int:
    """Bring in labels from a CSV or parquet file; unusable rows are listed, the rest is kept.

    Args:
        file: With left_source, left_native_id, right_source, right_native_id, label, reviewer.
        reconciliation: To which the labels belong; needed when several are declared.
    """
    result = bench_of(common).import_labels(file, reconciliation)
    return show(result, common, DONE if result.frame.is_empty() else PARTLY)


@labels_app.command(name="export")
def labels_export(
    *,
    out: Path,
    which: Literal["proposals", "audit", "second"] = "proposals",
    reconciliation: str | None = None,
    common: Common = COMMON,
) -> int:
    """Write what waits for a judgement as a sheet with an empty column `label`.

    Fill in label and reviewer, and bring the file back with `recon labels import`.

    Args:
        out: File to write; its ending chooses CSV or parquet.
        which: Proposed pairs; or, shown blind, the drawn events, or what a second person is asked.
        reconciliation: Whose questions; needed when several are declared.
    """
    return show(bench_of(common).export_labels(out.resolve(), reconciliation, which=which), common)


@labels_app.command(name="draw")
def labels_draw(  # noqa: PLR0913 - a plan has these parts, each with a default
    *,
    reconciliation: str | None = None,
    rate: float = 0.02,
    count: int | None = None,
    strata: Literal["none", "method", "amount", "canary"] = "none",
    rates: dict[str, float] | None = None,
    common: Common = COMMON,
) -> int:
    """Draw left events for the audit sample; they come in the queue without a mark.

    Args:
        reconciliation: Whose events; needed when several are declared.
        rate: Share of everything that the current run decided.
        count: About so many new items, instead of a rate.
        strata: Give every method, every band of amounts, or canary and rest, a rate of its own.
        rates: Those rates, such as `--rates.probable 0.2`; all others have the rate.
    """
    result = bench_of(common).draw_audit(
        reconciliation, rate=rate, count=count, strata=strata, rates=rates
    )
    return show(result, common)


@labels_app.command(name="second")
def labels_second(reconciliation: str | None = None, *, common: Common = COMMON) -> int:
    """List what a second person is asked: audit labels against what was picked, one in ten others.

    Args:
        reconciliation: Whose labels; needed when several are declared.
    """
    return show(bench_of(common).second_looks(reconciliation), common)


@labels_app.command(name="agreement")
def labels_agreement(reconciliation: str | None = None, *, common: Common = COMMON) -> int:
    """Say how far two reviewers agree: raw, prevalence, Cohen's kappa.

    Args:
        reconciliation: Whose labels; needed when several are declared.
    """
    return show(bench_of(common).agreement(reconciliation), common)


def _one_verdict(asked: ArgumentCollection) -> None:
    """Exactly one switch of the group is on."""
    every, given = (
        [argument.name for argument in found] for found in (asked, asked.filter_by(value_set=True))
    )
    if len(given) != 1:
        told = f"given: {', '.join(given)}" if given else "none was given"
        raise ValueError(f"Say exactly one of {', '.join(every)}; {told}.")


VERDICT = Group("Verdict", validator=_one_verdict)
Verdict = Annotated[bool, Parameter(group=VERDICT, negative="")]


@app.command
def decide(  # noqa: PLR0913 - one switch for each verdict
    left: str,
    right: str | None = None,
    *,
    same: Verdict = False,
    not_same: Verdict = False,
    unsure: Verdict = False,
    no_counterpart: Verdict = False,
    accept_residual: Verdict = False,
    write_off: Verdict = False,
    reason: str | None = None,
    note: str | None = None,
    blind: Flag = False,
    reconciliation: str | None = None,
    common: Common = COMMON,
) -> int:
    """Record what you decide about a pair, an event or a match; the ledger keeps it for good.

    Args:
        left: A left event by native id or event key; for money left open also a match id. The id
            of a proposed answer (`recon why`) is decided as a whole, all its pairs as one bundle.
        right: A right event, likewise.
        same: They tell the same story.
        not_same: They do not.
        unsure: You looked and cannot say; somebody else is asked.
        no_counterpart: The left event has none.
        accept_residual: The money that the match leaves open is accepted.
        write_off: The money is given up.
        reason: A reason code; needed where money is given up.
        note: Free text.
        blind: You have not seen what the system thinks; audit labels need that.
        reconciliation: To which it belongs; needed when several are declared.
    """
    said = {
        "same": same, "not_same": not_same, "unsure": unsure, "no_counterpart": no_counterpart,
        "accept_residual": accept_residual, "write_off": write_off,
    }  # fmt: skip
    verdict = next(name for name, chosen in said.items() if chosen)
    result = bench_of(common).decide(
        left, right, verdict, reason=reason, note=note, score_shown=not blind,
        reconciliation=reconciliation,
    )  # fmt: skip
    return show(result, common)


@app.command
def undo(  # noqa: PLR0913 - three ways to name a target, each optional
    seq: int | None = None,
    *,
    last: Flag = False,
    bundle: str | None = None,
    reason: str | None = None,
    note: str | None = None,
    common: Common = COMMON,
) -> int:
    """Take a decision back by a further row; nothing is deleted.

    Args:
        seq: Its sequence number; that of an undo brings the decision back.
        last: Your newest decision in force, with its bundle.
        bundle: Every decision of this bundle.
        reason: Why, as a code.
        note: Why, in words.
    """
    if [seq is not None, last, bundle is not None].count(True) != 1:
        raise SettingsError("name what to undo: a sequence number, --last, or --bundle B")
    return show(bench_of(common).undo(seq, bundle=bundle, reason=reason, note=note), common)


@app.command
def decisions(
    reconciliation: str | None = None,
    *,
    conflicts: Flag = False,
    reopened: Flag = False,
    common: Common = COMMON,
) -> int:
    """List decisions and what became of them.

    With `--conflicts` or `--reopened` the exit code is 4 while some must be asked again.

    Args:
        reconciliation: Whose decisions; of all, where not given.
        conflicts: Only those that contradict one another, and who said what.
        reopened: Only those whose facts have changed since, field by field.
    """
    bench = bench_of(common)
    if conflicts or reopened:
        found = bench.conflicts(reconciliation) if conflicts else bench.reopened(reconciliation)
        return show(found, common, DONE if found.frame.is_empty() else UNKNOWN)
    return show(bench.decisions(reconciliation), common)


@app.command
def worklist(
    reconciliation: str | None = None,
    *,
    method: str | None = None,
    reason: str | None = None,
    currency: str | None = None,
    common: Common = COMMON,
) -> int:
    """List what waits for a judgement, most worth a minute first, and when more stops paying.

    Args:
        reconciliation: Only of this reconciliation.
        method: Only proposed by this method.
        reason: Only asked for this reason, such as ambiguous or below_floor.
        currency: Only in this currency.
    """
    found = bench_of(common).worklist(
        reconciliation, method=method, reason=reason, currency=currency
    )
    return show(found, common)
