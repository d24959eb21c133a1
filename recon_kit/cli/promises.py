"""Commands that prove, approve and take back what is matched without a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from recon_kit.cli.app import (
    COMMON,
    DONE,
    HOLD,
    UNKNOWN,
    Common,
    Flag,
    app,
    bench_of,
    progress,
    show,
)


@app.command
def sweep(
    reconciliation: str | None = None,
    *,
    method: Literal["probable", "window", "grouped", "decomposed"] = "probable",
    margins: Sequence[float] = (),
    fmr_max: float = 0.02,
    common: Common = COMMON,
) -> int:
    """Say what every threshold would bring and cost; proposes one with its reason, if it can.

    Exit 4 when nothing can be proposed.

    Args:
        reconciliation: Needed when several are declared.
        method: Whose matches are cut.
        margins: Least leads over the best rival to try; the setting's, where not given.
        fmr_max: The share of wrong matches that the proposed point must surely keep.
    """
    found = bench_of(common).sweep(
        reconciliation, method=method, margins=margins, fmr_max=fmr_max, progress=progress
    )
    return show(found, common, DONE if found.point else UNKNOWN)


@app.command
def compare(  # noqa: PLR0913 - what may differ, each with a default
    reconciliation: str | None = None,
    *,
    change: str | None = None,
    share: float | None = None,
    threshold: float | None = None,
    margin: float | None = None,
    settings: Path | None = None,
    before: str | None = None,
    after: str | None = None,
    as_of: str | None = None,
    common: Common = COMMON,
) -> int:
    """Say what a change would gain, lose and move, with money and owners; nothing is changed.

    Ask one thing: --change, --threshold, --settings, or --before with --after.

    Args:
        reconciliation: Needed when several are declared.
        change: A certificate, model or rule as if promoted: first characters of its content hash.
        share: As if it were promoted to this share of components, as a canary.
        threshold: As if `probable` matched by itself from this confidence on.
        margin: With threshold, the least lead over the best rival.
        settings: Another recon.toml for the same sources.
        before: With after, two finished runs instead, by the first characters of their ids.
        after: The other run.
        as_of: A sequence number or a date: on what was known then.
    """
    found = bench_of(common).compare(
        reconciliation, change=change, share=share, threshold=threshold, margin=margin,
        settings=settings, before=before, after=after, as_of=as_of, progress=progress,
    )  # fmt: skip
    return show(found, common)


@app.command
def certify(  # noqa: PLR0913 - a promise has these parts, each with a default
    reconciliation: str | None = None,
    *,
    method: Literal["probable", "window", "grouped", "decomposed"] = "probable",
    fmr_max: float = 0.02,
    confidence: float = 0.95,
    margin: float | None = None,
    model: str | None = None,
    by: str | None = None,
    common: Common = COMMON,
) -> int:
    """Look whether the audit sample proves a threshold; exit 4 when it proves none yet.

    Args:
        reconciliation: Needed when several are declared.
        method: Whose matches; each method has its own certificate.
        fmr_max: At most so many of its matches may be wrong, such as 0.02.
        confidence: With what probability that must hold.
        margin: Least lead over the best rival; the setting's, where not given.
        model: Of a model that is not in use yet, by the first characters of its hash.
        by: Who asks, and so proposes what is certified.
    """
    found = bench_of(common).certify(
        reconciliation, method=method, fmr_max=fmr_max, confidence=confidence,
        margin=margin, model=model, by=by, progress=progress,
    )  # fmt: skip
    return show(found, common, DONE if found.certified else UNKNOWN)


@app.command
def promote(  # noqa: PLR0913 - how far a change acts, each with a default
    change: str | None = None,
    *,
    threshold: float | None = None,
    share: float | None = None,
    reconciliation: str | None = None,
    by: str | None = None,
    common: Common = COMMON,
) -> int:
    """Put an approved change in force, or propose it; without CHANGE, list all of them.

    Exit 3 when it waits for approval. With --share 0.1 it is tried as a canary first: on one in
    ten components (events that compete for one another), chosen by hash; all others stay under
    what was in force. `recon watch` holds the two parts against each other; widen it with --share
    0.5 and 1, or take it back with `recon rollback` (--kind model or rule).

    Args:
        change: First characters of the content hash of a certificate, model or rule.
        threshold: A stricter threshold that the same certificate proves.
        share: Of how many components, above 0 and up to 1; of all, where not given.
        reconciliation: Whose changes are listed.
        by: Who promotes.
    """
    bench = bench_of(common)
    shown = bench.promote(
        change, threshold=threshold, share=share, reconciliation=reconciliation, by=by
    )
    waits = change is not None and not any("is in force" in note for note in shown.notes)
    return show(shown, common, HOLD if waits else DONE)


@app.command
def approve(  # noqa: PLR0913 - a word has these parts, each with a default
    change: str,
    *,
    role: str | None = None,
    reject: Flag = False,
    note: str = "",
    by: str | None = None,
    common: Common = COMMON,
) -> int:
    """Approve a proposed change, bound to the hash of its content; the author cannot.

    Args:
        change: First characters of its content hash.
        role: For which role, where the person holds several.
        reject: Say no instead.
        note: Why.
        by: Who approves; [governance.roles] in recon.toml names who may.
    """
    shown = bench_of(common).approve(change, by=by, role=role, reject=reject, note=note)
    return show(shown, common)


@app.command
def rollback(  # noqa: PLR0913 - what is taken back, each with a default
    reconciliation: str | None = None,
    *,
    method: Literal["probable", "window", "grouped", "decomposed"] = "probable",
    kind: Literal["certificate", "model", "rule"] = "certificate",
    rule: str | None = None,
    reason: str = "rolled back",
    by: str | None = None,
    common: Common = COMMON,
) -> int:
    """Go back to what was in force before, or to review by people; nothing is deleted.

    Args:
        reconciliation: Needed when several are declared.
        method: Of which method, for a certificate.
        kind: What is taken back.
        rule: Which rule, by the first characters of its content hash.
        reason: Why.
        by: Who takes it back.
    """
    shown = bench_of(common).rollback(
        reconciliation, method=method, kind=kind, rule=rule, reason=reason, by=by
    )
    return show(shown, common)


@app.command
def drift(
    reconciliation: str | None = None,
    *,
    method: Literal["probable", "window", "grouped", "decomposed"] = "probable",
    common: Common = COMMON,
) -> int:
    """Hold what came since a certificate against what it was proven on, measure by measure.

    Exit 3 when a measure has drifted: the next run voids the certificate, if none has yet.

    Args:
        reconciliation: Needed when several are declared.
        method: Whose certificate.
    """
    found = bench_of(common).drift(reconciliation, method=method)
    return show(found, common, HOLD if "drifted" in found.frame["state"] else DONE)


@app.command
def watch(
    reconciliation: str | None = None,
    *,
    method: Literal["probable", "window", "grouped", "decomposed", "learned"] = "probable",
    apply: Flag = False,
    by: str | None = None,
    common: Common = COMMON,
) -> int:
    """Judge the matches made under a certificate by what was drawn and labelled since.

    Look as often as you like. Where a certificate or a model is tried on a share of components, or,
    with --method learned, a rule, that canary is held against the rest. Exit 3 when matches are
    surely worse than promised, 4 while it is too early to say, 0 when nothing speaks against them.

    Args:
        reconciliation: Needed when several are declared.
        method: Whose certificate; learned for the rule that is tried on a share.
        apply: Roll back what is surely worse than promised.
        by: Who rolls back.
    """
    found = bench_of(common).watch(reconciliation, method=method, apply=apply, by=by)
    states = found.frame["state"].drop_nulls().to_list()
    first = "roll_back" if "roll_back" in states else next(iter(states), "")
    return show(found, common, {"roll_back": HOLD, "go": DONE}.get(first, UNKNOWN))
