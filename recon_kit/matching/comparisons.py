"""What the probabilistic method compares: one ladder per subject, with default odds.

Default `m` (share of true pairs on a level) and `u` (share of random pairs) are used as written
where there is too little data to learn from, and as a weak opinion where there is enough. They are
round numbers from the trade, tuned to no data set.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from recon_kit.matching.customers import customer
from recon_kit.matching.ladders import Comparison, Level
from recon_kit.matching.schedules import Lag
from recon_kit.matching.texts import further, invoice, mention, number, text
from recon_kit.safe import quote_text
from recon_kit.values import Duration

# The level of two amounts that neither a fee nor a rate nor a slip brings together.
AMOUNTS_DIFFER = "amounts differ"
_PERMILLE: tuple[int, ...] = (5, 10, 20, 35, 60, 100, 150, 250)  # bands of amounts that differ
# Bands of whole days after the left event, by their last day, with the default share of true pairs
_AFTER: tuple[tuple[int, float], ...] = (
    (0, 0.12), (1, 0.12), (2, 0.1), (3, 0.08), (4, 0.05), (5, 0.04), (6, 0.03), (8, 0.03),
    (11, 0.03), (15, 0.02), (21, 0.02), (31, 0.02), (62, 0.01),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Terms:
    """What a reconciliation declares, or has taught, about its pairs.

    `before` and `after` bound right minus left time, `single` says that a pair settles an event
    alone (no part payments), `extra` are the declared further fields in the order of the columns
    `x0`, `x1`, ..., `usual` says that right rows carry their source's usual fee,
    `lags` are settlement lags by source pair, `fx_band_bp` how far a converted amount may lie off
    in basis points.
    """

    before: Duration
    after: Duration
    single: bool = True
    extra: tuple[str, ...] = ()
    usual: bool = False
    lags: tuple[Lag, ...] = ()
    fx_band_bp: int = 300


def comparisons(filled: Collection[str], terms: Terms) -> tuple[Comparison, ...]:
    """The comparisons for the fields that both sides fill (names as of `features.filled`)."""
    has = set(filled)
    made: tuple[tuple[set[str], Callable[[], Comparison]], ...] = (
        ({"amount"}, lambda: _amount(has, terms)),
        ({"ts"}, lambda: _lag(days(terms.before), days(terms.after), terms.lags, clock(has))),
        ({"email", "name", "phone", "postcode"}, lambda: customer(has)),
        ({"text"}, text),
        (
            {"name_text"},
            lambda: mention("name_text", "words", "text_words", "left name in right text"),
        ),
        (
            {"text_name"},
            lambda: mention("text_name", "text_words", "words", "left text and right name"),
        ),
        ({"ref_text"}, lambda: number("ref_text", "refs", "text_refs", "left number in text")),
        ({"text_ref"}, lambda: number("text_ref", "text_refs", "refs", "right number in text")),
        ({"invoice"}, invoice),
        ({"click"}, lambda: further("click", "click id")),
    )
    found = [make() for fields, make in made if fields & has]
    found += [further(f"x{i}", name) for i, name in enumerate(terms.extra) if f"x{i}" in has]
    return tuple(found)


def clock(has: Collection[str]) -> str:
    """The column that says when a row was: where some tell a day alone, its noon stands for it."""
    return "noon" if "noon" in has else "ts"


def days(span: Duration) -> int:
    """A duration in whole calendar days, rounded up; business time is stretched to its longest.

    Five business days span at most a weekend more; a holiday is allowed for by one further day.
    """
    count = span.count
    if span.unit == "bd":
        return count + 2 * -(-count // 5) + 1
    if span.unit == "bh":
        return days(Duration(count=-(-count // 8), unit="bd"))
    per_day = {"d": 1, "h": 24, "m": 1440}[span.unit]
    return -(-count // per_day)


# --- the ladders ----------------------------------------------------------------------------------
def _amount(has: Collection[str], terms: Terms) -> Comparison:
    """Equal (the rarer the amount, the more it says), rounded, or off by a percentage, signed.

    A processor's fee takes 1 to 4 percent and some cents, a currency conversion a few percent
    either way: the bands on the low and the high side are learned apart. Where a side also tells
    what was presented to the customer (`shown`), the amounts in the shared currency are compared.
    Where a pair has to settle an event alone, no number of look-alikes may teach that amounts far
    apart are usual, nor, where both sides keep the same currencies, that these differ.
    """
    shown = "shown" in has
    left, right, null = "l.amount", "r.amount", "l.currency <> r.currency"
    if shown:
        own = "l.currency in (r.currency, r.shown_currency)"
        left = f"(case when {own} then l.amount else l.shown end)"
        right = (
            "(case when r.currency in (l.currency, l.shown_currency) and "
            f"not ({own} and l.currency <> r.currency) then r.amount else r.shown end)"
        )
        null = f"not coalesce({own} or l.shown_currency in (r.currency, r.shown_currency), false)"
    key = None if shown else "amount"
    gap = f"abs({left} - {right})"
    same = f"{left} = {right}"
    levels = [
        Level(f"same amount, fewer than 1 row in {2**k}", f"{same} and l.amount_rare >= {k}", m, u)
        for k, m, u in ((12, 0.12, 2e-5), (9, 0.14, 2e-4), (6, 0.14, 2e-3))
    ]
    levels.append(Level("same amount, a common one", same, 0.12, 0.01, key))
    levels.append(Level("off by at most 3 minor units", f"{gap} <= 3", 0.05, 1e-4))
    levels += _net_levels(has, terms, left, right)
    bands, last = len(levels), 0
    for edge in _PERMILLE:
        band = f"{last / 10:g} to {edge / 10:g} %"
        bound = f"{gap} * 1000 <= abs({left}) * {edge}"
        u = 0.0012 * (edge - last) / 10
        lower = f"{bound} and abs({right}) < abs({left})"
        levels.append(Level(f"right is {band} lower", lower, 0.03, u))
        levels.append(Level(f"right is {band} higher", bound, 0.016, u))
        last = edge
    far = 1e-4 if terms.single else 0.02
    levels.append(Level(AMOUNTS_DIFFER, None, far, 0.9, None, far))
    named = len(levels)
    nothing = "l.amount is null or r.amount is null"
    if "currency" in has:
        levels.insert(0, Level("currencies differ", null, far, 0.3, None, far))
    elif "worth" in has:
        nothing += f" or ({null}) and (l.worth is null or r.worth is null)"
        levels.insert(0, Level("worth another amount in another currency", null, far, 0.1))
    else:
        nothing += f" or {null}"
    if "worth" in has:
        band = f"abs(l.worth - r.worth) * 10000 <= abs(l.worth) * {terms.fx_band_bp}"
        label = f"another currency, worth the same within {terms.fx_band_bp / 100:g} %"
        levels.insert(0, Level(label, f"({null}) and {band}", 0.05, 2e-3))
    beyond = (bands + len(levels) - named, f"{gap} * 1000 > abs({left}) * {last}")
    return Comparison("amount", "amount", nothing, tuple(levels), beyond)


def _net_levels(has: Collection[str], terms: Terms, left: str, right: str) -> list[Level]:
    """The right amount is what a fee left of the left one: the fee it tells, or the usual one."""
    levels = []
    if "fee" in has:
        told = f"r.fee > 0 and abs({left} - r.fee - {right}) <= 1"
        levels.append(Level("left less the fee that right tells", told, 0.1, 1e-4))
        told = f"l.fee > 0 and abs({left} - l.fee - {right}) <= 1"
        levels.append(Level("left less the fee that it tells", told, 0.1, 1e-4))
    if terms.usual:
        fee = f"(({left}::hugeint * r.usual_bp + 5000) // 10000 + r.usual_fixed)"
        paid = f"{left} - least({fee}, coalesce(r.usual_cap, {fee}))"
        levels.append(Level("left less the usual fee", f"abs({paid} - {right}) <= 1", 0.2, 1e-4))
    return levels


def _lag(before: int, after: int, lags: Sequence[Lag], column: str) -> Comparison:
    """Right time minus left time, in hours where both are instants, else in days.

    Between the noon of a day and an instant of that day lie twelve hours at most, as between two
    days whose clocks went forward: `column` is `noon` where one side tells what the other does not.

    Where several pairs of sources have lags of their own, each is measured by its own habit.
    """
    if len(lags) > 1:
        return _usual_lag(before, after, lags)
    exact = "l.instant and r.instant and r.ts - l.ts"
    gap = f"r.{column} - l.{column}"
    day = f"floor(({gap} + 43200) / 86400)"
    levels = [
        Level("within the hour after", f"{exact} between 0 and 3599", 0.2, 0.0005),
        Level("1 to 8 hours after", f"{exact} between 3600 and 28799", 0.12, 0.003),
        Level("8 to 24 hours after", f"{exact} between 28800 and 86399", 0.1, 0.007),
    ]
    low = 0
    for high, m in _AFTER:
        if low > after:
            break
        high = min(high, after)  # noqa: PLW2901 - the last band ends with the window
        name = _days_after(low, high)
        u = 0.008 * (high - low + 1)
        levels.append(Level(name, f"{day} between {low} and {high}", m, u))
        low = high + 1
    if low <= after:
        levels.append(
            Level(f"{low} days after or more", f"{day} between {low} and {after}", 0.01, 0.2)
        )
    if before >= 1:
        levels.append(Level("1 day before", f"{day} = -1", 0.02, 0.008))
    if before > 1:
        earlier = f"{day} between {-before} and -2"
        name = "2 days before" if before == 2 else f"2 to {before} days before"
        levels.append(Level(name, earlier, 0.01, 0.008 * before))
    levels.append(Level("outside the window", None, 0.002, 0.6))
    # a day's border lies at noon, and instants are told apart within the first day at least
    first, end = -before * 86400 - 43200, max(after, 1) * 86400 + 43200
    beyond = (0, f"{gap} not between {first} and {end}")
    return Comparison("lag", "time lag", "l.ts is null or r.ts is null", tuple(levels), beyond)


def _usual_lag(before: int, after: int, lags: Sequence[Lag]) -> Comparison:
    """Time by what is usual between the two sources; their quantiles are the borders.

    Dates without a clock are a day wide, so every border is widened by half a day for them. The
    labels say where a time stands and praise or blame nothing: whether it speaks for a pair is
    learned, and a time that is late may still be far likelier among counterparts than by chance.
    """
    gap, whole = "(r.ts - l.ts)", "(case when l.instant and r.instant then 0 else 43200 end)"

    def within(low: str, high: str) -> str:
        arms = " ".join(
            f"when {quote_text(f'{lag.left_source} {lag.right_source}')} then {gap} between "
            f"{getattr(lag, low)} - {whole} and {getattr(lag, high)} + {whole}"
            for lag in lags
        )
        return f"case concat_ws(' ', l.source, r.source) {arms} else false end"

    window = f"{gap} between {-before * 86400} and {after * 86400 + 43200}"
    levels = (
        Level("the usual time", within("p25", "p75"), 0.5, 0.02),
        Level("on the early side of usual", within("p05", "p25"), 0.2, 0.02),
        Level("on the late side of usual", within("p75", "p95"), 0.2, 0.05),
        Level("as late as 4 in 100 are", within("p95", "p99"), 0.04, 0.1),
        Level("at an unusual time, within the window", window, 0.04, 0.3),
        Level("outside the window", None, 0.002, 0.5),
    )
    return Comparison("lag", "time lag", "l.ts is null or r.ts is null", levels)


def _days_after(low: int, high: int) -> str:
    if high == 0:
        return "same day"
    if high == low:
        return "1 day after" if high == 1 else f"{high} days after"
    return f"{low} to {high} days after"
