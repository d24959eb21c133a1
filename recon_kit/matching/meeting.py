"""Rules as SQL: which pairs meet all conditions of each (see `rules` for the vocabulary).

A rule becomes one quoted join of what is open on the left with what is open on the right. What
follows from the pairs is the business of who asks: `learned` matches and bars by them, rules are
distilled and judged by them.
"""

from __future__ import annotations

from collections.abc import Sequence

from recon_kit import model
from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import amounts, keys
from recon_kit.matching.rules import Amount, Contains, Days, Equal, Is, Prefix, Rule, TextTest
from recon_kit.safe import quote_ident
from recon_kit.settings import Tolerance

PAIRS_MAX = 5_000_000  # a rule that must look at more pairs than this is not asked


def meet(engine: Engine, rules: Sequence[Rule]) -> list[tuple[Rule, int]]:
    """`rule_pairs(number, left_eid, right_eid)`: pairs of `rest` that meet each rule.

    Returns:
        The rules that would look at more than `PAIRS_MAX` pairs, which they do not, and how many.
    """
    texts = {c: number for number, c in enumerate(texts_of(rules))}
    engine.run(*open_steps(texts))
    too_broad = []
    for number, rule in enumerate(rules):
        engine.run(*side_steps(rule, texts), cost_step(rule, texts))
        looked = engine.one("select n from rule_cost")[0]
        if isinstance(looked, int) and looked > PAIRS_MAX:
            too_broad.append((rule, looked))
        elif looked:
            engine.run(pair_step(rule, number, texts))
    return too_broad


# A text column of one side: side, field, normaliser, shortest length that means anything.
_Text = tuple[str, str, str, int]


def texts_of(rules: Sequence[Rule]) -> list[_Text]:
    """Every text that some rule reads, once."""
    found: dict[_Text, None] = {}
    for rule in rules:
        for test in rule.conditions:
            if isinstance(test, Is):
                found[_constant(test)] = None
            elif isinstance(test, (Equal, Contains, Prefix)):
                found |= dict.fromkeys(_sides(test))
    return list(found)


def _constant(test: Is) -> _Text:
    return (test.side, test.field, "as_told", 0)


def _sides(test: TextTest) -> tuple[_Text, _Text]:
    return (
        ("left", test.left, test.left_as, test.length_min),
        ("right", test.right, test.right_as, test.length_min),
    )


_NOTHING = keys.texts(model.NULL_KEYS)
_NORMAL = {
    "as_told": "{0}",
    "key": "trim(regexp_replace(trim({0}), '^''?#?', ''))",
    "lower": "lower(trim({0}))",
    "digits": "regexp_replace({0}, '[^0-9]', '', 'g')",
    "letters_digits": "lower(regexp_replace({0}, '[^\\pL\\pN]', '', 'g'))",
    "first_word": "regexp_extract(trim({0}), '^\\S+')",
    "last_word": "regexp_extract(trim({0}), '\\S+$')",
}


def _text_sql(text: _Text) -> str:
    """A text written anew; null where it means nothing or is too short to prove anything."""
    _, field, normaliser, length_min = text
    told = keys.key_text(field) if "." in field else f"{quote_ident(field)}::varchar"
    anew = _NORMAL[normaliser].format(told)
    if normaliser == "as_told":
        return anew
    return (
        f"case when lower(trim({told})) not in ({_NOTHING}) and length({anew}) >= {length_min}"
        f" then {anew} end"
    )


def open_steps(texts: dict[_Text, int]) -> tuple[Step, ...]:
    """`rule_left` and `rule_right`: what is open with the texts that rules read, and no pairs."""
    personal = ", ".join(f"min({quote_ident(c)}) as {quote_ident(c)}" for c in _PERSONAL)
    steps = [
        Step(
            f"rule_{name}",
            f"""
create or replace table rule_{name} as
select r.eid, r.amount, r.currency, r.shown, r.shown_currency, r.ts, t.* exclude (event_key)
from (from rest where side = {number}) r join (
    select e.event_key{_listed(texts, name)}
    from events e left join (
        select event_key, {personal} from who
        where event_key in (select event_key from rest) group by event_key) w using (event_key)
    where e.event_key in (select event_key from rest where side = {number})) t using (event_key)""",
            "open events with the texts that rules read",
        )
        for number, name in ((0, "left"), (1, "right"))
    ]
    none = Step(
        "rule_pairs",
        "create or replace table rule_pairs (number bigint, left_eid bigint, right_eid bigint)",
        "no rule has run yet",
    )
    return (*steps, none)


_PERSONAL = ("email", "customer_name", "phone", "postcode")


def _listed(texts: dict[_Text, int], side: str) -> str:
    mine = (f", {_text_sql(t)} as c{number}" for t, number in texts.items() if t[0] == side)
    return "".join(mine)


def side_steps(rule: Rule, texts: dict[_Text, int]) -> tuple[Step, ...]:
    """`asked_left` and `asked_right`: rows that could meet the rule at all."""
    steps = []
    for side in ("left", "right"):
        tests = ["true"]
        for test in rule.conditions:
            if isinstance(test, Is) and test.side == side:
                tests.append(f"c{texts[_constant(test)]} in ({keys.texts(test.values)})")
            elif isinstance(test, (Equal, Contains, Prefix)):
                own = _sides(test)[0 if side == "left" else 1]
                tests.append(f"c{texts[own]} is not null")
            elif isinstance(test, Amount):
                tests.append("(amount is not null or shown is not null)")
            elif isinstance(test, Days):
                tests.append("ts is not null")
        steps.append(
            Step(
                f"{rule.name}.{side}",
                f"create or replace table asked_{side} as from rule_{side}"
                f" where {' and '.join(tests)}",
                f"rows that rule {rule.name} speaks of",
            )
        )
    return tuple(steps)


def _join_key(rule: Rule, texts: dict[_Text, int], side: str) -> str:
    """What a hash join may use: equal texts, starts of texts, and whether amounts are told."""
    parts = []
    for test in rule.conditions:
        if isinstance(test, (Equal, Prefix)):
            column = f"c{texts[_sides(test)[0 if side == 'left' else 1]]}"
            whole = isinstance(test, Equal)
            parts.append(column if whole else f"left({column}, {test.length_min})")
    return " || chr(31) || ".join(parts) or "''"


def cost_step(rule: Rule, texts: dict[_Text, int]) -> Step:
    """`rule_cost(n)`: how many pairs the join would have to look at."""
    left, right = (_join_key(rule, texts, side) for side in ("left", "right"))
    return Step(
        f"{rule.name}.cost",
        f"""
create or replace table rule_cost as
select coalesce(sum(a * b), 0)::bigint as n
from (select {left} as k, count(*) as a from asked_left group by k)
join (select {right} as k, count(*) as b from asked_right group by k) using (k)""",
        "counted before they are made",
    )


def pair_step(rule: Rule, number: int, texts: dict[_Text, int]) -> Step:
    """Pairs that meet all conditions of a rule, added to `rule_pairs`."""
    tests, money = [], []
    for test in rule.conditions:
        if isinstance(test, (Equal, Contains, Prefix)):
            tests.append(_text_test(test, texts))
        elif isinstance(test, Amount):
            allowed = Tolerance(minor_units=test.minor_units, percent=test.percent)
            limit = keys.allowed_sql(allowed, "left_sum")
            money.append(f"shared is not null and abs(left_sum - right_sum) <= {limit}")
        elif isinstance(test, Days):
            low, high = -test.before * _DAY, test.after * _DAY
            tests.append(f"epoch_us(r.ts) - epoch_us(l.ts) between {low} and {high}")
    left, right = (_join_key(rule, texts, side) for side in ("left", "right"))
    return Step(
        f"{rule.name}.pairs",
        f"""
insert into rule_pairs
select {number}, left_eid, right_eid from (
    select l.eid as left_eid, r.eid as right_eid, {amounts.shared_currency("l", "r")} as shared,
           {amounts.amount_in("shared", "l")} as left_sum,
           {amounts.amount_in("shared", "r")} as right_sum
    from (select *, {left} as k from asked_left) l
    join (select *, {right} as k from asked_right) r using (k)
    where {" and ".join(tests) or "true"})
where {" and ".join(money) or "true"}""",
        f"pairs of which rule {rule.name} says: {rule.verdict}",
    )


_DAY = 86_400_000_000  # microseconds


def _text_test(test: TextTest, texts: dict[_Text, int]) -> str:
    left, right = (f"c{texts[t]}" for t in _sides(test))
    if isinstance(test, Equal):
        return f"l.{left} = r.{right}"
    whole, part = f"l.{left}", f"r.{right}"
    if test.within == "right":
        whole, part = part, whole
    function = "contains" if isinstance(test, Contains) else "starts_with"
    return f"{function}({whole}, {part})"
