"""Which pairs are looked at: rules with a budget, counted before they run.

A rule is an equality of keys; time and amount only narrow it. Each rule is a ladder of rungs,
from wide to narrow. Key values that would give a row too many partners on one rung go on to the
next; what is too many even on the narrowest is left out and reported, never in silence.
Counts come from one aggregate over key values, never from the join itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import enrich
from recon_kit.matching.ladders import RARITY

Form = Literal["window", "near", "close", "close on the day", "equal", "day"]

# The right amount may be this much lower or higher where a rule asks for a near or a close amount
# (percent of the left one): fees and part refunds below, tips and currency above; of close ones
# the fees alone, and what rounding adds.
RANGES: dict[Form, tuple[int, int]] = {
    "near": (70, 130), "close": (90, 103), "close on the day": (90, 103),
}  # fmt: skip
# Forms that ask for the same or the next day instead of the whole window.
_DAILY: frozenset[Form] = frozenset({"day", "close on the day"})
# A key value that gives its rows more partners than this says too little; the next form tries.
PARTNERS_MAX = 100
# A fact that tells little (a price, a forename) names nobody among many: that many partners share
# what probability there is, and with more of them none could be told from the others by it.
WEAK_MAX = 3
# The widest forms of such a fact are cheap to leave: a closer amount, or a closer day, finds the
# same payments.
WEAKEST_MAX = 1
_RARE_START = 8  # fewer than one row in 2^8 shares it: rare enough to look at any amount
_DAY = 86_400
# Systems cut an invoice number off in front; of its last digits four are left at least.
_INVOICE_END = "case when length(invoice) >= 4 then right(invoice, 4) end"


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to pair rows: the key they share and what narrows it.

    `left` and `right` are expressions over a side's row. The forms, all within the window:
    `window` nothing further, `near` an amount from 30 percent lower to 30 percent higher, `close`
    one from 10 percent lower to 3 percent higher, `close on the day` that on the same or the next
    day, `equal` the same amount, `day` the same or the next day. A key value that gives its rows
    more than `partners_max` partners goes on to the next rung.
    """

    left: str
    right: str
    form: Form
    partners_max: int = PARTNERS_MAX


@dataclass(frozen=True, slots=True)
class Rule:
    """Rungs from wide to narrow; a key value too common for one goes on to the next.

    Where `listed`, keys are lists of which any member may agree. Where `records` of customers tell
    more of the rows, two that both name a customer are not paired by what a record tells.
    """

    name: str
    rungs: tuple[Rung, ...]
    listed: bool = False
    records: bool = False


@dataclass(frozen=True, slots=True)
class RuleCount:
    """What became of one form of a rule. Pairs are counted before the join, so a little high."""

    rule: str
    rung: int
    key: str
    form: Form
    pairs: int
    pairs_over: int
    keys_over: int


@dataclass(frozen=True, slots=True)
class _Bucket:
    """The first bucket of a row, the step to the next one, and when there is a next one."""

    first: str
    step: str
    has_next: str


@dataclass(frozen=True, slots=True)
class _Sides:
    """Seconds before and after the left event, and the sides with amounts in two currencies."""

    window: tuple[int, int]
    presented: tuple[str, ...]


def rules(
    filled: Collection[str], extra: Sequence[str] = (), *, records: bool = False
) -> tuple[Rule, ...]:
    """The rules for the fields that both sides fill, the most telling keys first.

    `records` says that customers' records tell more of the rows (see `enrich`).
    """
    has = set(filled)
    near: tuple[Form, ...] = ("near", "equal") if "amount" in has else ("window", "day")
    wide: tuple[Form, ...] = ("window", *near) if "amount" in has else near

    def same(name: str, column: str, forms: tuple[Form, ...]) -> Rule:
        return Rule(name, tuple(Rung(column, column, form) for form in forms))

    def crossed(name: str, left: str, right: str, forms: tuple[Form, ...] = near) -> Rule:
        return Rule(name, tuple(Rung(left, right, form) for form in forms), listed=True)

    def weak(name: str, key: str, forms: tuple[Form, ...]) -> Rule:
        return Rule(name, tuple(Rung(key, key, form, WEAK_MAX) for form in forms))

    def a_word() -> Rule:
        forms: dict[Form, int] = dict.fromkeys(near, WEAK_MAX)
        if "amount" in has:
            weakest: dict[Form, int] = {"near": WEAKEST_MAX, "close": WEAKEST_MAX}
            forms = weakest | {"close on the day": WEAK_MAX, "equal": WEAK_MAX}
        rungs = tuple(Rung("words", "words", form, most) for form, most in forms.items())
        return Rule("a word of the name", rungs, listed=True)

    by_field = (
        *((f"x{i}", same(f"same {field}", f"x{i}", wide)) for i, field in enumerate(extra)),
        ("email", same("same e-mail user", "email_user", wide)),
        ("name", same("same name", "name", wide)),
        ("name", a_word()),
        ("phone", same("same phone", "phone", wide)),
        ("postcode", same("same postcode", "postcode", near)),
        ("click", same("same click id", "click", wide)),
        ("invoice", same("same invoice number", "invoice", wide)),
        ("invoice", same("invoice numbers end alike", _INVOICE_END, near)),
        ("ref_text", crossed("left number in right text", "refs", "text_refs", wide)),
        ("text_ref", crossed("right number in left text", "text_refs", "refs", wide)),
        *(("text", rule) for rule in _start_rules(near)),
        ("name_text", crossed("left name in right text", "words", "text_words")),
        ("text_name", crossed("left text in right name", "text_words", "words")),
        ("amount", weak("same amount", "currency || ' ' || amount", ("window", "day"))),
    )
    return tuple(replace(rule, records=records) for field, rule in by_field if field in has)


def _start_rules(near: tuple[Form, ...]) -> list[Rule]:
    """Texts that start alike: any start with a near amount, a rare one whatever the amount.

    A start too common to be a key is made longer until fewer rows have it.
    """
    keys = [f"start_{k}" for k in reversed(RARITY)]
    common = [Rung(key, key, near[0]) for key in keys]
    rare = [Rung(key, key, "window") for key in keys if int(key[6:]) >= _RARE_START]
    return [
        Rule("texts start alike", (*common, Rung(keys[-1], keys[-1], near[-1]))),
        Rule("texts share a rare start", (*rare, Rung(keys[-1], keys[-1], near[-1]))),
    ]


def block(
    engine: Engine,
    chosen: Sequence[Rule],
    window: tuple[int, int],
    pairs_max: int,
    *,
    barred: bool = False,
) -> list[RuleCount]:
    """Fill `candidate_pairs(l, r)` (the `seq` of either side) within a budget of pairs.

    Args:
        engine: holds `side_left` and `side_right`.
        chosen: rules in order; an earlier rule is served first.
        window: seconds before and after the left event.
        pairs_max: most pairs over all rules; each rule may take what the others leave.
        barred: whether pairs of `barred(left_eid, right_eid)` are left out.

    Returns:
        One count per rule and form that had anything to do.
    """
    counts: list[RuleCount] = []
    parts: list[str] = []
    left_over = pairs_max
    sides = _Sides(window, tuple(s for s in ("left", "right") if _presents(engine, s)))
    for number, rule in enumerate(chosen):
        share = max(left_over // (len(chosen) - number), 1)
        for step in range(len(rule.rungs)):
            table = f"found_{number}_{step}"
            count = _run(engine, (rule, step), sides, share, table)
            if count.pairs or count.pairs_over:
                counts.append(count)
            parts.append(f"select l, r from {table}")
            left_over -= count.pairs
            share -= count.pairs
            if not count.keys_over:
                break
    union = " union all ".join(parts) or "select 0::bigint as l, 0::bigint as r where false"
    engine.run(Step("candidate_pairs", _distinct_sql(union, barred), "each pair once"))
    engine.drop(*(part.rpartition(" ")[2] for part in parts))
    return counts


def notes(counts: Sequence[RuleCount], rules_run: Sequence[Rule]) -> list[str]:
    """Sentences on what the budget left out."""
    last = {rule.name: len(rule.rungs) - 1 for rule in rules_run}
    return [
        f"blocking rule '{c.rule}' ({c.form}) left out {c.pairs_over:,} pairs of "
        f"{c.keys_over:,} key values that are too common"
        for c in counts
        if c.keys_over and c.rung == last[c.rule]
    ]


def _distinct_sql(union: str, barred: bool) -> str:
    if not barred:
        return (
            f"create or replace temp table candidate_pairs as select distinct l, r from ({union})"
        )
    return f"""create or replace temp table candidate_pairs as
        select distinct f.l, f.r from ({union}) f
        join side_left a on a.seq = f.l join side_right b on b.seq = f.r
        where not exists (select 1 from barred x
            where x.left_eid = a.eid and x.right_eid = b.eid)"""


def _presents(engine: Engine, side: str) -> bool:
    """Whether any row of a side tells an amount in a second currency."""
    told = "shown is not null and shown_currency <> currency"
    return bool(engine.one(f"select count(*) from side_{side} where {told}")[0])


def _run(
    engine: Engine, place: tuple[Rule, int], sides: _Sides, budget: int, table: str
) -> RuleCount:
    """Count one rung by key value, take the values that fit, remember the others."""
    rule, step = place
    rung = rule.rungs[step]
    for side in ("right", "left"):
        engine.run(Step(f"key_{side}", _keyed_sql(rule, step, side, sides), rule.name))
    apart = f" and not ({enrich.BORROWED})" if rule.records else ""
    engine.run(
        Step(
            "key_pairs",
            f"""create or replace temp table key_pairs as
            select value, pairs, so_far > {budget} or pairs > {rung.partners_max} * rows as over
            from (
                select *, sum(pairs) over (order by pairs, value) as so_far from (
                    select value, sum(n_left * n_right)::bigint as pairs,
                        sum(n_left + n_right) as rows
                    from (select value, count(*) as n_left, min(n_right) as n_right
                        from key_left join (select key, count(*) as n_right from key_right
                            group by key) using (key) group by value, key)
                    group by value))""",
            "pairs per key value, before any join; what is over goes on to the next form",
        ),
        Step(
            table,
            f"""create temp table {table} as select a.seq as l, b.seq as r
            from key_left a join (from key_right
                where value not in (select value from key_pairs where over)) b using (key)
            where {_range_sql(rung.form, sides.window)}{apart}""",
            rule.name,
        ),
    )
    counts = engine.one(
        """select coalesce(sum(pairs) filter (not over), 0)::bigint,
            coalesce(sum(pairs) filter (over), 0)::bigint, count(*) filter (over) from key_pairs"""
    )
    numbers = [n if isinstance(n, int) else 0 for n in counts]
    return RuleCount(rule.name, step, rung.left, rung.form, *numbers)


def _keyed_sql(rule: Rule, step: int, side: str, sides: _Sides) -> str:
    """`key_left` or `key_right`: (seq, value, key, amount, ts) for one rung of a rule.

    The range of time and amount becomes buckets in the key, as wide as the range itself: a left
    row stands in the two buckets that its partners can be in, a right row in its own. So the join
    is by equality alone, and counting keys counts nearly what the join will give. An amount
    presented in another currency stands beside the own one. Where records are read, `named` and
    `borrowed` say whether a row names a customer, and whether a record told the value.
    """
    rung = rule.rungs[step]
    own = rung.left if side == "left" else rung.right
    buckets = [_day_bucket() if rung.form in _DAILY else _time_bucket(side, sides.window)]
    parts = ["value"]
    if rung.form in RANGES or rung.form == "equal":
        parts.append("currency")
    if rung.form in RANGES:
        buckets.append(_amount_bucket(side, *RANGES[rung.form]))
    if rung.form == "equal":
        parts.append("amount")
    rows, once = f"side_{side}", ""
    if side in sides.presented:
        once = "distinct"
        rows = f"""(select * from {rows} union all
            select * replace (shown as amount, shown_currency as currency) from {rows}
            where shown is not null and shown_currency <> currency)"""
    before = f", {_key(rule, step - 1, side)} as wider" if step else ""
    over = " and hash(wider) in (select value from key_pairs where over)" if step else ""
    flags = f", named, {enrich.borrowed_sql(own)} as borrowed" if rule.records else ""
    first = ", ".join(f"{bucket.first} as b{i}" for i, bucket in enumerate(buckets))
    spread = ""
    if side == "left":
        spread = "".join(f", (values (0), (1)) as s{i}(n{i})" for i in range(len(buckets)))
        again = " and ".join(f"(n{i} = 0 or {b.has_next})" for i, b in enumerate(buckets))
        spread += f" where {again}"
        parts += [f"b{i} + n{i} * {bucket.step}" for i, bucket in enumerate(buckets)]
    else:
        parts += [f"b{i}" for i in range(len(buckets))]
    return f"""create or replace temp table key_{side} as
        select {once} seq, value, hash({", ".join(parts)}) as key, amount, ts
            {", named, borrowed" if rule.records else ""}
        from (select *, hash(told) as value from (
            select seq, amount, ts, currency, {first}, {_key(rule, step, side)} as told
                {before}{flags}
            from {rows}) where told is not null{over}){spread}"""


def _key(rule: Rule, step: int, side: str) -> str:
    rung = rule.rungs[step]
    expression = rung.left if side == "left" else rung.right
    return f"unnest({expression})" if rule.listed else expression


def _time_bucket(side: str, window: tuple[int, int]) -> _Bucket:
    before, after = window
    low = f"ts - {before}" if side == "left" else "ts"
    return _Bucket(f"({low}) // {max(before + after, 1)}", "1", "ts is not null")


def _day_bucket() -> _Bucket:
    return _Bucket(f"ts // {_DAY}", "1", "ts is not null")


def _amount_bucket(side: str, low: int, high: int) -> _Bucket:
    """Logarithmic classes as wide as the range; zero alone, the sign kept apart."""
    width = f"ln({high} / {low}::double)"
    shift = f" + ln({low} / 100.0)" if side == "left" else ""
    own = f"sign(amount) * (1000 + floor((ln(abs(amount)){shift}) / {width}))"
    return _Bucket(f"case when amount = 0 then 0.0 else {own} end", "sign(amount)", "amount <> 0")


def _range_sql(form: Form, window: tuple[int, int]) -> str:
    """The exact range, over the keyed rows `a` (left) and `b` (right)."""
    before, after = window
    terms = [f"(b.ts - a.ts between {-before} and {after} or a.ts is null or b.ts is null)"]
    if form in RANGES:
        low, high = (f"abs(a.amount) * {percent}" for percent in RANGES[form])
        terms.append(f"abs(b.amount) * 100 between {low} and {high}")
    return " and ".join(terms)
