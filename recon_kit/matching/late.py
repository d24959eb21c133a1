"""Late materialisation: wide columns, fetched once, only for rows that need a second look.

After the first key most events stand in a match that nothing speaks against. For all others (open,
in disagreement, hanging on something) one pass over `events` and one over `who` leaves three
tables, known by `eid`: `second_look`, their rows of the pool with `external_ids` and all keys
(`k0, t0, k1...`), `facts` and `people`. Later keys and methods, attachments and reasons read these.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import keys, pool
from recon_kit.settings import Reconciliation

FACTS = (
    "source, event_type, native_id, order_id, transaction_id, invoice_number, parent_key, click_id,"
    " fee, payment_method, status, description, ts_precision"
)


# What a repair of keys reads beside them (see `repair`).
IDS = "source, native_id, transaction_id, parent_key, description, external_ids"


def key_columns(rec: Reconciliation) -> str:
    """What `rest` holds from the second key on: the columns of the pool and all keys."""
    return pool.COLUMNS + "".join(f", k{i}, t{i}" for i in range(len(rec.keys)))


def steps(rec: Reconciliation, lone: str, *, crowded: bool = False) -> tuple[Step, ...]:
    """Make the three tables; to be run when the plain matches of the first key stand.

    Their rows of the pool are told anew from the events that are read here anyway: for so few,
    that costs less than a look-up in the pool.

    Args:
        rec: its keys and measure.
        lone: query of the `eid, event_key` that found nobody by the first key.
        crowded: whether `groups` found crowds of that key that are no whole groups.
    """
    further = range(1, len(rec.keys))
    texts = "".join(f", {keys.key_text(rec.keys[i])} as t{i}" for i in further)
    hashes = "".join(f", {keys.key_hash(f't{i}')} as k{i}, t{i}" for i in further)
    noted = "select mid from live_groups where amount_note is not null"
    met_before = " and eid not in (select eid from crowd_rows)" if crowded else ""
    # whole groups first: their members are many, their keys few
    in_crowds = (
        """
    select eid, event_key
    from (from crowd_rows anti join (from alike where way is not null) whole using (k, t))
    anti join (
        select eid from live_members where mid in (
            select mid from live_groups where amount_note is null
            and mid not in (select mid from alike where way is not null))) plain using (eid)
    union all"""
        if crowded
        else ""
    )
    return (
        Step(
            "second_look",
            f"""
drop table if exists carriers;
create or replace table second_look as
select eid, {pool.row_sql(rec)}{hashes}, external_ids, {FACTS}
from (
    {lone}
    union all
    select unnest([left_eid, right_eid]), unnest([left_key, right_key]) from suspect_pairs
    union all{in_crowds}
    select eid, event_key from pool where side = {pool.ATTACHED}
    union all
    select eid, event_key from pool semi join (
        select eid from live_members where mid in ({noted}){met_before}) noted using (eid)
    where side < {pool.ATTACHED}
) wanted join (select *{texts} from ({pool.told_sql(rec)})) e using (event_key);
create or replace table further_facts as select eid, {FACTS} from second_look limit 0;
create or replace view facts as
select eid, {FACTS} from second_look union all from further_facts""",
            "one pass over the events, for rows that need more than their first key and amount",
        ),
        Step(
            "people",
            """
create or replace table people as
select s.eid, w.email, w.customer_name, w.phone, w.postcode
from (select eid, event_key from second_look) s join (
    select event_key, email, customer_name, phone, postcode from who) w using (event_key)""",
            "one pass over the personal fields",
        ),
    )


def carriers(engine: Engine, rec: Reconciliation, words: str | None = None) -> None:
    """Make `carriers` for what is open and what hangs, unless this evaluation has made it.

    Repairs, attachments and reasons ask who carries the keys of some of these rows: one pass over
    the events answers all three. What is open only becomes fewer from one to the next.
    """
    if not carriers_made(engine):
        asking = f"second_look where side = {pool.ATTACHED} or eid in (select eid from rest)"
        engine.run(carriers_step(rec, f"(from {asking})", words=words))


def carriers_made(engine: Engine) -> bool:
    """Whether this evaluation has made `carriers`: `second_look` takes an earlier one away."""
    return engine.has("carriers")


def carriers_step(
    rec: Reconciliation, asking: str, name: str = "carriers", words: str | None = None
) -> Step:
    """`carriers(number, t, eid, event_key, side)`: who carries a key of some rows, matched or not.

    The first key stands in the pool: it is looked up by its hash alone, and the texts of those few
    compared. Further keys are read from all events: which of these take part, the pool knows.

    Args:
        rec: its sides and keys.
        asking: table or query of rows with keys, as `second_look` has them.
        name: of the table.
        words: table with a column `word` of texts that may be any of the keys.
    """
    further = f" union all select word from {words}" if words else ""
    wanted = [
        f"(select t{number} from {asking} where k{number} is not null{further})"
        for number in range(len(rec.keys))
    ]
    later = range(1, len(rec.keys))
    hashed = f" union all select hash(word) from {words}" if words else ""
    told_texts = ", ".join(f"{keys.key_text(rec.keys[n])} as t{n}" for n in later)
    marks = ", ".join(f"coalesce(t{n} in {wanted[n]}, false) as asked{n}" for n in later)
    asked = " or ".join(f"asked{n}" for n in later)
    texts = ", ".join(f"case when asked{n} then t{n} end" for n in later)
    numbers = ", ".join(map(str, later))
    told = f"""
union all
select number, t, eid, event_key, side
from (
    select unnest([{numbers}]) as number, unnest([{texts}]) as t, event_key
    from (select *, {marks} from (select event_key, {told_texts} from events)) where {asked}
) join pool using (event_key)
where t is not null and side < {pool.ATTACHED}"""
    return Step(
        "carriers",
        f"""
create or replace table {name} as
with by_hash as materialized (
    select eid from pool where side < {pool.ATTACHED} and k0 in (select k0 from {asking}{hashed})
)
select 0 as number, t0 as t, eid, event_key, side from pool
where eid in (from by_hash) and t0 in {wanted[0]}{told if later else ""}""",
        "who carries the same keys",
    )
