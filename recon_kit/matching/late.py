"""Late materialisation: wide columns, fetched once, only for rows that need a second look.

After the first key most events stand in a match that nothing speaks against. For all others (open,
in disagreement, hanging on something) one pass over `events` and one over `who` leaves `facts` and
`people`, known by `eid`; later methods, attachments and reasons read these, and their rows of the
pool stand together in `second_look`.
"""

from __future__ import annotations

from recon_kit.ledger.engine import Step


def steps() -> tuple[Step, ...]:
    """Make `facts` and `people`; to be run when the plain matches of the first key stand."""
    return (
        Step(
            "second_look",
            """
create or replace table second_look as
select * from pool
where side = 2 or eid in (
    select eid from lone
    union all
    select unnest([left_eid, right_eid]) from suspect_pairs
    union all
    select eid from crowd_rows anti join (
        select eid from live_members where mid in (
            select mid from live_groups where amount_note is null)) plain using (eid)
    union all
    select eid from live_members where mid in (
        select mid from live_groups where amount_note is not null))""",
            "rows that need more than their key and amount",
        ),
        Step(
            "facts",
            """
create or replace table facts as
select s.eid, e.* from second_look s join (
    select event_key, source, event_type, native_id, order_id, transaction_id, invoice_number,
           parent_key, click_id, fee, payment_method, status, description, ts_precision
    from events) e using (event_key)""",
            "one pass over the events",
        ),
        Step(
            "people",
            """
create or replace table people as
select s.eid, min(w.email) as email, min(w.customer_name) as customer_name, min(w.phone) as phone
from second_look s join (
    select event_key, email, customer_name, phone from who
    where coalesce(email, customer_name, phone) is not null) w using (event_key)
group by s.eid""",
            "one pass over the personal fields",
        ),
    )
