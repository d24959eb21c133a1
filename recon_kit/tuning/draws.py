"""The audit sample: left events drawn at random, logged, asked blind, each with one final label.

Only labels of such a draw may certify: labels that people choose to give, or that a model picks,
say nothing about what was not picked. The draw is of *left events* of everything a run decided
(matched, held for review, unmatched), so that one label, "its counterpart is X, or none", tells
false matches and misses alike and stays true under the next model.

Every left event has one number u between 0 and 1, the HMAC of its key under the store's secret; it
is drawn where u is below the rate of its stratum. The number never changes, so the same input
gives the same draw, nobody without the secret can foresee it, a larger rate only adds to a smaller
one, and the weekly draw asks about new events alone. The probability with which an event is in the
sample is then the largest rate of any frame it stood in, and every draw logs it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import polars as pl

from recon_kit import model, money
from recon_kit.errors import SettingsError, nearest
from recon_kit.ledger.engine import Engine, Step
from recon_kit.model import Run
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation

Strata = Literal["none", "method", "amount", "canary"]
WHOLE = "all"  # the stratum of a draw that is not stratified
UNMATCHED = "unmatched"


@dataclass(frozen=True, slots=True)
class DrawPlan:
    """How much to draw: a rate, or about so many new items; by strata with own rates if wanted.

    `strata` is `none`, `method` (the method that matched or proposed, else `unmatched`), `amount`
    (powers of ten of the currency's major unit, such as `100 to 999`) or `canary` (what a canary
    judged, else `rest`); `rates` gives strata their own rate, all others have `rate`.
    """

    rate: float = 0.02
    count: int | None = None
    strata: Strata = "none"
    rates: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Rows for table `audit_draws` (none where nothing is new), and the strata they come from.

    `strata` has `stratum, frame_size, rate, drawn, new`, one row each.
    """

    rows: pl.DataFrame
    strata: pl.DataFrame


def draw_id(reconciliation: str) -> str:
    """Name of the draw whose numbers u are meant; one per reconciliation."""
    return model.digest("audit draw", reconciliation)


def draw(  # noqa: PLR0913 - facts, secret, plan, past and clock are all needed
    engine: Engine,
    rec: Reconciliation,
    run: Run,
    plan: DrawPlan,
    *,
    secret: bytes,
    earlier: pl.DataFrame,
    deadline: datetime,
) -> Drawn:
    """Draw left events of everything that a run decided.

    Args:
        engine: of a snapshot that shows `run`.
        rec: the reconciliation of the run.
        run: what is in flight or not covered in it is not decided, and not in the frame.
        plan: rates and strata.
        secret: `Store.audit_secret()`.
        earlier: rows of `audit_draws` so far.
        deadline: until when new items must be labelled.

    Raises:
        SettingsError: a rate is no share, or a stratum is unknown.
    """
    with keyed(engine, secret, b"audit draw"):
        engine.run(*frame_steps(rec, run.run_id, plan.strata, draw_id(rec.name)))
    past = earlier.filter(pl.col("draw_id") == draw_id(rec.name))
    sizes = engine.rows(
        "select stratum, count(*) as frame_size from audit_frame group by stratum order by stratum"
    )
    rates = _rates(sizes, past, plan)
    engine.put("audit_rates", rates)
    engine.put("audit_past", drawn_events(past).select("event_key", "inclusion_probability"))
    drawn = engine.rows(_DRAWN)
    gone = _raised_elsewhere(past, drawn, rates)
    fresh = pl.concat([drawn.filter("new"), gone], how="diagonal").sort("u", "event_key")
    told = rates.join(
        drawn.group_by("stratum").agg(drawn=pl.len(), new=pl.col("first").sum()),
        on="stratum", how="left",
    ).with_columns(pl.col("drawn", "new").fill_null(0).cast(pl.Int64))  # fmt: skip
    strata = told.select("stratum", "frame_size", "rate", "drawn", "new").sort("stratum")
    if fresh.is_empty() and _known(strata, past, run.run_id):
        return Drawn(pl.DataFrame(), strata)
    return Drawn(_log(strata, fresh, rec, run, deadline), strata)


def frame_steps(
    rec: Reconciliation, run_id: str, strata: Strata, draw_name: str
) -> tuple[Step, ...]:
    """`audit_frame(event_key, stratum, u)`: every left event that the run decided about."""
    this_run = f"run_id = {quote_text(run_id)}"
    message = f"{quote_text(draw_name)} || d.event_key"
    measure = rec.measure.left
    stratum = {
        "none": quote_text(WHOLE),
        "method": "d.method",
        "amount": f"coalesce(({_band_sql(f'e.{measure}', 'e.currency')}), 'no amount')",
        "canary": f"case when d.event_key in (select event_key from canary_events where {this_run})"
        " then 'canary' else 'rest' end",
    }[strata]
    return (
        Step(
            "audit_decided",
            f"""
create or replace table audit_decided as
select mm.event_key, m.method, m.match_id, m.disposition
from (from match_members where {this_run}) mm
join (from matches where {this_run}) m using (match_id)
where mm.side = 'left' and mm.role in ('principal', 'part')
union all
select o.event_key, coalesce(p.method, {quote_text(UNMATCHED)}), null,
  case when p.method is null then {quote_text(UNMATCHED)} else 'review' end
from (from open_items where {this_run}) o
left join (
  select left_key, arg_max(method, (coalesce(confidence, -1), right_key)) as method
  from proposals where {this_run} group by left_key
) p on p.left_key = o.event_key
where o.side = 'left' and o.match_id is null and o.state in ('overdue', 'proposed')""",
            "left events that were matched, held for review, or left unmatched",
        ),
        Step(
            "audit_frame",
            f"""
create or replace table audit_frame as
select d.event_key, {stratum} as stratum, {fraction_sql(message)} as u
from audit_decided d join events e using (event_key), secret_pads""",
            "their random numbers: an HMAC, read as 52 bits of a fraction",
        ),
    )


_DRAWN = """
select f.event_key, f.stratum, f.u, r.rate as inclusion_probability,
  p.event_key is null as first,
  p.event_key is null or p.inclusion_probability < r.rate as new
from audit_frame f join audit_rates r using (stratum)
left join audit_past p on p.event_key = f.event_key
where f.u < r.rate order by f.u, f.event_key
"""


def _band_sql(amount: str, currency: str) -> str:
    """The power of ten in which an amount lies, in major units: `under 10`, `100 to 999`."""
    places = " ".join(
        f"when {quote_text(name)} then {digits}"
        for name, digits in money.currency_exponents().items()
        if digits != 2
    )
    unit = f"(10::hugeint ** case {currency} {places} else 2 end)::hugeint"
    major = f"abs({amount}::hugeint) // {unit}"
    return (
        f"case when {amount} is not null then case when {major} < 10 then 'under 10' else "
        f"rpad('1', length(({major})::varchar)::integer, '0') || ' to ' || "
        f"repeat('9', length(({major})::varchar)::integer) end end"
    )


@contextmanager
def keyed(engine: Engine, secret: bytes, purpose: bytes) -> Iterator[None]:
    """Let `fraction_sql` draw numbers under the store's secret, for one purpose; then forget it.

    Table `secret_pads` holds the two padded keys of an HMAC-SHA256 whose key serves this purpose
    alone.
    """
    key = hmac.new(secret, purpose, hashlib.sha256).digest().ljust(64, b"\0")
    pads = {
        "inner_pad": [bytes(b ^ 0x36 for b in key)],
        "outer_pad": [bytes(b ^ 0x5C for b in key)],
    }
    engine.put("secret_pads", pl.DataFrame(pads))
    try:
        yield
    finally:
        engine.run(Step("secret_pads", "drop table secret_pads", "the secret is not kept"))


def fraction_sql(message: str) -> str:
    """SQL of the HMAC of a text expression, its first 52 bits read as a fraction from 0 to 1.

    The query must also read `secret_pads` (see `keyed`).
    """
    digest = f"sha256(outer_pad || unhex(sha256(inner_pad || encode({message}))))"
    return f"cast('0x' || left({digest}, 13) as ubigint) / 4503599627370496.0"


def _rates(sizes: pl.DataFrame, past: pl.DataFrame, plan: DrawPlan) -> pl.DataFrame:
    """`stratum, frame_size, rate` of every stratum of the frame."""
    for name, rate in {"rate": plan.rate, **plan.rates}.items():
        if not 0 < rate <= 1:
            raise SettingsError(f"{name} {rate} is no share; write one such as 0.02")
    known = sizes["stratum"].to_list()
    for name in plan.rates:
        if name not in known:
            raise SettingsError(f"no stratum is called {name!r}; {nearest(name, known)}")
    before = (
        past.filter(pl.col("event_key").is_null())
        .group_by("stratum")
        .agg(before=pl.col("inclusion_probability").max())
    )
    own = pl.DataFrame(
        {"stratum": list(plan.rates), "own": list(plan.rates.values())},
        schema={"stratum": pl.String, "own": pl.Float64},
    )
    told = sizes.join(before, on="stratum", how="left").join(own, on="stratum", how="left")
    asked = pl.col("own").fill_null(plan.rate)
    if plan.count is not None:
        # So many new ones are expected on top of what an earlier rate has drawn already.
        total = int(sizes["frame_size"].sum()) or 1
        asked = pl.min_horizontal(pl.col("before").fill_null(0.0) + plan.count / total, pl.lit(1.0))
    return told.select("stratum", "frame_size", rate=asked).sort("stratum")


def drawn_events(draws: pl.DataFrame) -> pl.DataFrame:
    """One row per drawn event: first drawn when and from what, with its largest probability."""
    events = draws.filter(pl.col("event_key").is_not_null()).sort("seq")
    first = events.unique("event_key", keep="first", maintain_order=True)
    largest = events.group_by("event_key").agg(
        inclusion_probability=pl.col("inclusion_probability").max(),
        stratum=pl.col("stratum").last(),
    )
    return (
        first.drop("inclusion_probability", "stratum")
        .rename({"recorded_at": "drawn_at"})
        .join(largest, on="event_key")
    )


def _raised_elsewhere(past: pl.DataFrame, drawn: pl.DataFrame, rates: pl.DataFrame) -> pl.DataFrame:
    """Events drawn before that left the frame since, such as those said to have no counterpart.

    They would be in it had nobody labelled them, so a larger rate of their stratum counts for them
    as for all others.
    """
    gone = drawn_events(past).join(drawn, on="event_key", how="anti").join(rates, on="stratum")
    raised = gone.filter(pl.col("rate") > pl.col("inclusion_probability"))
    return raised.select(
        "event_key", "stratum", u=pl.lit(1.0), inclusion_probability="rate", first=pl.lit(False)
    )


def _known(strata: pl.DataFrame, past: pl.DataFrame, run_id: str) -> bool:
    """Whether this very draw of this very run is in the log."""
    logged = past.filter(pl.col("event_key").is_null() & (pl.col("run_id") == run_id)).select(
        "stratum", "frame_size", rate="inclusion_probability"
    )
    return (
        strata.select("stratum", "frame_size", "rate")
        .join(logged, on=["stratum", "frame_size", "rate"], how="anti")
        .is_empty()
    )


def _log(
    strata: pl.DataFrame, fresh: pl.DataFrame, rec: Reconciliation, run: Run, deadline: datetime
) -> pl.DataFrame:
    """Rows of `audit_draws`: a row for each stratum, then the events in the order of their u."""
    heads = strata.select(
        "stratum", "frame_size", inclusion_probability="rate",
        event_key=pl.lit(None, dtype=pl.String), position=pl.lit(0, dtype=pl.Int64),
        deadline=pl.lit(None, dtype=model.UTC),
    )  # fmt: skip
    items = fresh.join(strata.select("stratum", "frame_size"), on="stratum", how="left").select(
        "stratum", "frame_size", "inclusion_probability", "event_key",
        position=pl.int_range(1, pl.len() + 1, dtype=pl.Int64),
        deadline=pl.when("first").then(pl.lit(deadline)).cast(model.UTC),
    )  # fmt: skip
    return pl.concat([heads, items], how="diagonal_relaxed").with_columns(
        reconciliation=pl.lit(rec.name), draw_id=pl.lit(draw_id(rec.name)),
        as_of_seq=pl.lit(run.as_of_seq, dtype=pl.Int64), run_id=pl.lit(run.run_id),
        model_hash=pl.lit(run.model_hash, dtype=pl.String),
    )  # fmt: skip
