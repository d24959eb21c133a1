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

    def crossed(name: str, left: str, right: str) -> Rule:
        return Rule(name, tuple(Rung(left, right, form) for form in near), listed=True)

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
        ("ref_text", crossed("left number in right text", "refs", "text_refs")),
        ("text_ref", crossed("right number in left text", "text_refs", "refs")),
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
    for number, rule in enumerate(chosen):
        share = max(left_over // (len(chosen) - number), 1)
        for step in range(len(rule.rungs)):
            table = f"found_{number}_{step}"
            count = _run(engine, (rule, step), window, share, table)
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


def _run(
    engine: Engine, place: tuple[Rule, int], window: tuple[int, int], budget: int, table: str
) -> RuleCount:
    """Count one rung by key value, take the values that fit, remember the others."""
    rule, step = place
    rung = rule.rungs[step]
    for side in ("left", "right"):
        engine.run(Step(f"key_{side}", _keyed_sql(rule, step, side, window), rule.name))
    apart = f" and not ({enrich.BORROWED})" if rule.records else ""
    engine.run(
        Step(
            "key_pairs",
            """create or replace temp table key_pairs as
            select value, sum(n_left * n_right)::bigint as pairs, sum(n_left + n_right) as rows
            from (select value, key, count(*) as n_left from key_left group by value, key)
            join (select value, key, count(*) as n_right from key_right group by value, key)
            using (value, key) group by value""",
            "pairs per key value, before any join",
        ),
        Step(
            "key_over",
            f"""create or replace temp table key_over as select value, pairs from (
                select *, sum(pairs) over (order by pairs, value) as so_far from key_pairs)
            where so_far > {budget} or pairs > {rung.partners_max} * rows""",
            "values with too many pairs go on to the next form",
        ),
        Step(
            table,
            f"""create temp table {table} as select distinct a.seq as l, b.seq as r
            from key_left a join key_right b using (key)
            where a.value not in (select value from key_over)
                and {_range_sql(rung.form, window)}{apart}""",
            rule.name,
        ),
    )
    taken, over, keys_over = engine.one(
        """select coalesce((select sum(pairs) from key_pairs
                where value not in (select value from key_over)), 0)::bigint,
            coalesce(sum(pairs), 0)::bigint, count(*) from key_over"""
    )
    numbers = [n if isinstance(n, int) else 0 for n in (taken, over, keys_over)]
    return RuleCount(rule.name, step, rung.left, rung.form, *numbers)


def _keyed_sql(rule: Rule, step: int, side: str, window: tuple[int, int]) -> str:
    """`key_left` or `key_right`: (seq, value, key, amount, ts) for one rung of a rule.

    The range of time and amount becomes buckets in the key, as wide as the range itself: a left
    row stands in the two buckets that its partners can be in, a right row in its own. So the join
    is by equality alone, and counting keys counts nearly what the join will give. An amount
    presented in another currency stands beside the own one. Where records are read, `named` and
    `borrowed` say whether a row names a customer, and whether a record told the value.
    """
    rung = rule.rungs[step]
    expression = _key(rule, step, side)
    buckets = [_day_buckets(side) if rung.form in _DAILY else _time_buckets(side, window)]
    parts = ["value"]
    if rung.form in RANGES or rung.form == "equal":
        parts.append("currency")
    if rung.form in RANGES:
        buckets.append(_amount_buckets(side, *RANGES[rung.form]))
    if rung.form == "equal":
        parts.append("amount")
    money = f"""(select * from side_{side} union all
        select * replace (shown as amount, shown_currency as currency) from side_{side}
        where shown is not null and shown_currency <> currency)"""
    before = f", {_key(rule, step - 1, side)} as wider" if step else ""
    own = rung.left if side == "left" else rung.right
    flags = f", named, {enrich.borrowed_sql(own)} as borrowed" if rule.records else ""
    spread = f"select seq, amount, ts, currency, {expression} as value{before}{flags} from {money}"
    for i, bucket in enumerate(buckets):
        spread = f"select *, unnest({bucket}) as b{i} from ({spread})"
        parts.append(f"b{i}")
    over = " and hash(wider) in (select value from key_over)" if step else ""
    return f"""create or replace temp table key_{side} as
        select distinct seq, hash(value) as value, hash({", ".join(parts)}) as key, amount, ts
            {", named, borrowed" if rule.records else ""}
        from ({spread}) where value is not null{over}"""


def _key(rule: Rule, step: int, side: str) -> str:
    rung = rule.rungs[step]
    expression = rung.left if side == "left" else rung.right
    return f"unnest({expression})" if rule.listed else expression


def _time_buckets(side: str, window: tuple[int, int]) -> str:
    before, after = window
    width = max(before + after, 1)
    low = f"(ts - {before}) // {width}"
    return f"[{low}, {low} + 1]" if side == "left" else f"[ts // {width}]"


def _day_buckets(side: str) -> str:
    return f"[ts // {_DAY}, ts // {_DAY} + 1]" if side == "left" else f"[ts // {_DAY}]"


def _amount_buckets(side: str, low: int, high: int) -> str:
    """Logarithmic classes as wide as the range; zero alone, the sign kept apart."""
    width = f"ln({high} / {low}::double)"
    shift = f" + ln({low} / 100.0)" if side == "left" else ""
    own = f"sign(amount) * (1000 + floor((ln(abs(amount)){shift}) / {width}))"
    both = f"{own}, {own} + sign(amount)" if side == "left" else own
    return f"case when amount = 0 then [0.0] else [{both}] end"


def _range_sql(form: Form, window: tuple[int, int]) -> str:
    """The exact range, over the keyed rows `a` (left) and `b` (right)."""
    before, after = window
    terms = [f"(b.ts - a.ts between {-before} and {after} or a.ts is null or b.ts is null)"]
    if form in RANGES:
        low, high = (f"abs(a.amount) * {percent}" for percent in RANGES[form])
        terms.append(f"abs(b.amount) * 100 between {low} and {high}")
    return " and ".join(terms)
