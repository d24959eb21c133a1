"""What a joined pair says against itself: another customer, another time.

A key may be mistyped, recycled or transposed. Where amounts already disagree, this looks up who
and when, for those pairs alone. A fact that one side does not tell contradicts nothing.

`verdicts(left_eid, right_eid, customer, late)`: customer is `agree`, `disagree` or `unknown`;
`late` is whether the right event lies outside the window around the left one.
"""

from __future__ import annotations

from recon_kit import workdays
from recon_kit.ledger.engine import Step
from recon_kit.settings import Reconciliation

# Two spellings of one name (initials, swapped or dropped letters) score above this.
NAMES_ALIKE = 0.85


def steps(rec: Reconciliation, zone: str, suspects: str = "suspects") -> tuple[Step, ...]:
    """Make `verdicts` for the pairs of a table with `left_eid, right_eid`."""
    return (
        Step(
            "verdicts",
            f"create or replace table verdicts as {verdicts_sql(rec, zone, suspects)}",
            "do customer, in one spelling, and time contradict the key",
        ),
    )


def verdicts_sql(rec: Reconciliation, zone: str, suspects: str) -> str:
    """Query of the verdicts on the pairs of a table with `left_eid, right_eid`.

    A face is spelled once for both sides: to read a pattern costs more than to use it on a few.
    """
    return f"""
with faces as materialized (
    select eid, {_mail("email")} as mail, {name_sql("customer_name")} as name,
           {_phone("phone")} as phone
    from people where eid in (select unnest([left_eid, right_eid]) from {suspects})
)
select left_eid, right_eid,
       case when {_same_person()} then 'agree'
            when (a.mail is not null and b.mail is not null)
              or (a.name is not null and b.name is not null) then 'disagree'
            else 'unknown' end as customer, {late_sql(rec, zone)} as late
from (select left_eid, right_eid from {suspects})
join second_look l on l.eid = left_eid
join second_look r on r.eid = right_eid
left join faces a on a.eid = left_eid
left join faces b on b.eid = right_eid"""


def none_step() -> Step:
    """An empty `verdicts`, where nobody is suspected."""
    return Step(
        "verdicts",
        "create or replace table verdicts"
        " (left_eid bigint, right_eid bigint, customer varchar, late boolean)",
        "nobody is suspected",
    )


def late_sql(rec: Reconciliation, zone: str) -> str:
    """Whether the right row `r` lies outside the window around the left row `l`, by `ts`."""
    latest = workdays.due_sql("l.ts", rec.window.after.count, rec.window.after.unit, zone)
    earliest = workdays.due_sql("r.ts", rec.window.before.count, rec.window.before.unit, zone)
    return f"coalesce(r.ts > {latest} or l.ts > {earliest}, false)"


def alike_sql(one: str, other: str) -> str:
    """Whether two names (as `name_sql` spells them) may be one; null when one is unknown.

    Close letters, or a word of three letters in common.
    """
    words = [f"list_filter(string_split({n}, ' '), lambda w: length(w) > 2)" for n in (one, other)]
    return (
        f"(jaro_winkler_similarity({one}, {other}) >= {NAMES_ALIKE}"
        f" or list_has_any({words[0]}, {words[1]}))"
    )


def _same_person() -> str:
    return (
        "coalesce(a.mail = b.mail, false) or coalesce(a.phone = b.phone, false)"
        f" or coalesce({alike_sql('a.name', 'b.name')}, false)"
    )


def _mail(column: str) -> str:
    """An address without case, dots and `+tag` in front of the `@`; null when it is none."""
    mail = f"lower(trim({column}))"
    local = f"replace(regexp_replace(split_part({mail}, '@', 1), '[+].*$', ''), '.', '')"
    return f"case when {mail} like '%_@_%' then {local} || '@' || split_part({mail}, '@', 2) end"


def name_sql(column: str) -> str:
    """Words of a name in alphabetical order, without accents and case."""
    plain = (
        f"trim(regexp_replace(lower(strip_accents({column})), '[^\\p{{L}}\\p{{N}}]+', ' ', 'g'))"
    )
    return f"nullif(array_to_string(list_sort(string_split({plain}, ' ')), ' '), '')"


def _phone(column: str) -> str:
    """The last nine digits: country codes and trunk zeros are written in many ways."""
    digits = f"regexp_replace({column}, '[^0-9]', '', 'g')"
    return f"case when length({digits}) >= 7 then right({digits}, 9) end"
