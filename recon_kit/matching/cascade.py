"""The cascade: methods in order, each seeing only what is open, one set of tables at the end.

The order is data (`ORDER`). After the last method what hangs on matches is attached, dispositions
are set, what is open says why, and the result is checked as a whole before anyone may read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import polars as pl

from recon_kit import workdays
from recon_kit.errors import MatchingError
from recon_kit.ledger.engine import Engine, Step, Timed
from recon_kit.matching import (
    answers,
    attach,
    authority,
    canary,
    carried,
    decided,
    decomposed,
    dispose,
    evidence,
    exact,
    grouped,
    learned,
    open_items,
    pool,
    proposals,
    terms,
    window,
)
from recon_kit.matching.rules import Rule
from recon_kit.matching.touched import Earlier
from recon_kit.model import METHODS, RUN_TABLES, Certificate, StoredModel
from recon_kit.settings import Reconciliation


@dataclass(frozen=True, slots=True)
class MatchingContext:
    """What an evaluation depends on beside events and settings.

    `as_of` is the moment that decides what is still in flight, `timezone` the business zone,
    `holidays` an ISO country, `model` the stored model of the probabilistic method,
    `certificates` those of each method (see `authority`), `rules` those in force, `trials` what
    acts on a share of components beside them (see `canary`),
    `normalisers` how each source spells its keys (see `spelling`), `code_hash` names the code that
    ran. `retrain` learns terms and odds anew though the model has some.
    """

    as_of: datetime
    timezone: str = "UTC"
    holidays: str | None = None
    model: StoredModel | None = None
    certificates: tuple[Certificate, ...] = ()
    rules: tuple[Rule, ...] = ()
    trials: canary.Trials = canary.NO_TRIALS
    normalisers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    code_hash: str = ""
    retrain: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an evaluation came to; its rows stand in the engine's tables `out_*`.

    `tables` are rows by table, `methods` has a row per method and disposition (`method,
    disposition, matches`), `states` a row per side and state (`side, state, items`), `reopened`
    the decisions that must be asked again, `model` the model after it, `notes` what methods
    split, left out or learned, `trail` the time of every step, `narrowed` how many events a late
    day matched again (none where no earlier run was given).
    """

    reconciliation: str
    tables: dict[str, int]
    methods: pl.DataFrame
    states: pl.DataFrame
    reopened: pl.DataFrame
    model: StoredModel | None
    notes: tuple[str, ...]
    trail: tuple[Timed, ...] = field(repr=False)
    narrowed: carried.Narrowed | None = None


Method = Callable[[Engine, Reconciliation, MatchingContext], StoredModel | None]


def _decided(engine: Engine, rec: Reconciliation, context: MatchingContext) -> None:
    del context  # one signature for all methods
    if decided.run(engine, rec):
        engine.run(exact.rest_step(1, decided.STILL_OPEN))


def _exact(engine: Engine, rec: Reconciliation, context: MatchingContext) -> None:
    exact.run(engine, rec, context.timezone, context.normalisers)


def _learned(engine: Engine, rec: Reconciliation, context: MatchingContext) -> None:
    if learned.run(engine, rec, context.rules, context.trials):
        engine.run(exact.rest_step(_rest(rec, "learned"), learned.STILL_OPEN))


def _allowed(rec: Reconciliation, method: str, context: MatchingContext) -> authority.Authority:
    return authority.authority(rec, method, context.certificates, context.as_of)


def _window(engine: Engine, rec: Reconciliation, context: MatchingContext) -> None:
    if not rec.window_method.enabled:
        return
    if window.run(engine, rec, context.timezone, _allowed(rec, "window", context)):
        engine.run(exact.rest_step(_rest(rec, "window"), window.STILL_OPEN))


def _terms(engine: Engine, rec: Reconciliation, context: MatchingContext) -> StoredModel | None:
    return terms.run(engine, rec, context.model, context.timezone, retrain=context.retrain)


def _grouped(engine: Engine, rec: Reconciliation, context: MatchingContext) -> None:
    if not rec.grouped.enabled:
        return
    if grouped.run(engine, rec, context.timezone, _allowed(rec, "grouped", context)):
        engine.run(exact.rest_step(_rest(rec, "grouped"), grouped.STILL_OPEN))


def _probable(engine: Engine, rec: Reconciliation, context: MatchingContext) -> StoredModel | None:
    if not rec.probable.enabled:
        return None
    # Splink and its kind take a second to load: only where there is something to score.
    if engine.one("select count(distinct side) from rest")[0] != 2:
        return None
    from recon_kit.matching import likely

    model = likely.run(
        engine, rec, context.model, context.certificates, context.as_of,
        retrain=context.retrain, trials=context.trials,
    )  # fmt: skip
    engine.run(exact.rest_step(_rest(rec, "probable"), likely.STILL_OPEN))
    return model


def _decomposed(engine: Engine, rec: Reconciliation, context: MatchingContext) -> None:
    if not rec.decomposed.enabled:
        return
    allowed, number = _allowed(rec, "decomposed", context), _rest(rec, "decomposed")
    # a run is stronger evidence than a set; `grouped`, where it is on, has looked for runs already
    if not rec.grouped.enabled and grouped.run(
        engine, rec, context.timezone, allowed, "decomposed"
    ):
        engine.run(exact.rest_step(number, decomposed.STILL_OPEN))
    if decomposed.run(engine, rec, context.timezone, allowed):
        engine.run(exact.rest_step(number + 1, decomposed.STILL_OPEN))


ORDER: tuple[tuple[str, Method], ...] = (
    ("decided", _decided),
    ("exact", _exact),
    ("learned", _learned),
    ("terms", _terms),
    ("window", _window),
    ("grouped", _grouped),
    ("probable", _probable),
    ("decomposed", _decomposed),
)


def _rest(rec: Reconciliation, method: str) -> int:
    """Number of the table of what is open after a method; `decided` and the keys come first."""
    return len(rec.keys) + 1 + METHODS.index(method)


def reconcile(
    engine: Engine,
    rec: Reconciliation,
    context: MatchingContext,
    earlier: Earlier | None = None,
) -> Outcome:
    """Evaluate one reconciliation on the views of a snapshot's engine.

    Args:
        engine: with views `events`, `who`, `coverage` and `decisions`.
        rec: the two sides and what agreeing means.
        context: the moment, the zone, the model.
        earlier: a run whose plain matches may stand as they are (see `carried`): the result is the
            same, and what nothing new has touched is not matched again.

    Returns:
        Counts; the rows are in `out_matches`, `out_match_members`, `out_pair_evidence`,
        `out_proposals` and `out_open_items`, in the columns of `model.RUN_TABLES`.

    Raises:
        MatchingError: the reconciliation is declared so that it cannot be evaluated, or the
            result broke a promise (nothing of it may then be kept).
    """
    began = len(engine.trail)
    narrowed = carried.narrow(engine, rec, earlier) if earlier else None
    late = earlier if narrowed and not narrowed.why_not else None
    _begin(engine, rec, context, (carried.whole_step(rec),) if late else ())
    for _, method in ORDER:
        context = replace(context, model=method(engine, rec, context) or context.model)
    attach.run(engine, rec)
    decided.close_residuals(engine)
    promised = (rec, context.certificates, context.as_of, context.model)
    tried = authority.on_trial(*promised, context.trials.model)
    dispose.run(engine, rec, authority.in_force(*promised), tried)
    engine.run(canary.keep_step(rec))
    proposals.run(engine, rec)
    engine.run(evidence.keep_step())
    answers.keep(engine)
    open_items.run(engine, rec, context.as_of, context.timezone)
    members, matches = check(engine, rec)
    counted = {"match_members": members, "matches": matches}
    if late:
        carried.widen(engine, late)
        counted = {name: n + carried.stands(engine, name) for name, n in counted.items()}
    outcome = _outcome(engine, rec, context.model, counted, narrowed)
    return replace(outcome, trail=tuple(engine.trail[began:]))


def leave_open(engine: Engine, rec: Reconciliation, context: MatchingContext) -> StoredModel | None:
    """Make `open_left` and `open_right` as `probable` would find them had nobody decided anything.

    What the model of that method is trained on: decided events stand among their rivals again.
    The engine's `decisions` are emptied. Returns the context's model, with terms where methods
    learned some.
    """
    from recon_kit.matching import likely

    engine.put("decisions", engine.rows("select * from decisions limit 0"))
    _begin(engine, rec, context)
    for name, method in ORDER:
        if name == "probable":
            break
        context = replace(context, model=method(engine, rec, context) or context.model)
    engine.run(*likely.open_steps())
    return context.model


def _begin(
    engine: Engine,
    rec: Reconciliation,
    context: MatchingContext,
    whole: tuple[Step, ...] = (),
) -> None:
    """The pool, the calendar, and the empty tables that methods write to.

    `whole` makes `whole_pool` where the pool is a part alone.
    """
    if context.as_of.tzinfo is None:
        raise MatchingError("as_of needs a time zone; pass an aware datetime")
    tests = pool.build(engine, rec)
    engine.run(*whole)
    put_calendar(engine, rec, context)
    engine.run(*exact.prepare(), proposals.prepare(), evidence.prepare(), dispose.currencies())
    engine.run(answers.prepare(), learned.prepare(), canary.prepare())
    if tests:
        engine.run(pool.test_note_step(rec))


def put_calendar(engine: Engine, rec: Reconciliation, context: MatchingContext) -> None:
    """Table `calendar`, wide enough for every due day of the pool and for a look back as far."""
    # through a frame: DuckDB hands single zoned times over only where pytz is installed
    first, last = engine.rows("from whole_span").row(0)
    days = [t.astimezone(UTC).date() for t in (first, last, context.as_of)
            if isinstance(t, datetime)]  # fmt: skip
    longest = max(d.count for d in (rec.settles_within, rec.window.before, rec.window.after))
    back = timedelta(days=40 + 2 * longest)
    engine.put(
        "calendar",
        workdays.calendar_around(
            min(days) - back, max(days), context.holidays, business_days_max=max(60, longest)
        ),
    )


# Each promise with the query that finds who breaks it, and one of 64-bit hashes of what may not
# stand twice: while no hash does, nobody has to be looked for. Matches of a pair have one amount a
# side by construction, so sums are added up for the larger ones.
INVARIANTS: tuple[tuple[str, str, str], ...] = (
    (
        "an event stands in more than one match",
        "select hash(event_key) from out_match_members",
        "select event_key from out_match_members group by event_key having count(*) > 1",
    ),
    (
        "two matches have one identity",
        "select hash(match_id) from out_matches",
        "select match_id from out_matches group by match_id having count(*) > 1",
    ),
    (
        "the parts of a side do not add up to its sum, or it has none",
        "",
        """select match_id from larger_heads h left join (
               select mid, sum(allocated) filter (side = 0) as l,
                      sum(allocated) filter (side = 1) as r, count(distinct side) as sides
               from member_rows where counts group by mid) m using (mid)
           where sides is distinct from 2 or l is distinct from left_sum
              or r is distinct from right_sum""",
    ),
)


def check(engine: Engine, rec: Reconciliation) -> tuple[int, int]:
    """How many members and matches there are; all promises about them were found kept.

    Raises:
        MatchingError: the result broke a promise.
    """
    counted = []
    for promise, hashes, broken in INVARIANTS:
        if hashes:
            rows, repeated = engine.repeated(hashes, engine.count("pool"))
            counted.append(rows)
            if not repeated:
                continue
        found = engine.rows(f"select * from ({broken}) order by all limit 1")
        if found.height:
            raise MatchingError(
                f"reconciliation {rec.name!r}: {promise} ({found.item(0, 0)}). This is a defect "
                "of recon_kit; nothing was kept. Please report it with the printed steps."
            )
    members, matches = counted
    return members, matches


def _outcome(
    engine: Engine,
    rec: Reconciliation,
    model: StoredModel | None,
    counted: Mapping[str, int],
    narrowed: carried.Narrowed | None,
) -> Outcome:
    """What stands in the tables; `counted` are rows of those that need not be counted again."""
    methods = carried.methods_sql(narrowed)
    return Outcome(
        reconciliation=rec.name,
        tables={
            name: counted[name] if name in counted else engine.count(f"out_{name}")
            for name in RUN_TABLES
            if name != "findings"
        },
        methods=engine.rows(
            f"select method, disposition, n as matches from ({methods}) order by all"
        ),
        states=engine.rows(
            "select side, state, count(*) as items from out_open_items group by all order by all"
        ),
        reopened=engine.rows("from reopened order by seq"),
        model=model,
        notes=tuple(engine.rows("from method_notes")["note"]),
        trail=(),
        narrowed=narrowed,
    )
