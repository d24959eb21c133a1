"""What the probabilistic method compares: one ladder per subject, with default odds.

Default `m` (share of true pairs on a level) and `u` (share of random pairs) are used as written
where there is too little data to learn from, and as a weak opinion where there is enough. They are
round numbers from the trade, tuned to no data set.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from recon_kit.matching.ladders import Comparison, Level
from recon_kit.settings import Duration

# Lengths of the shared start of two texts, and the classes of how rare a text or amount is:
# class k holds what fewer than one row in 2^k has.
STARTS: tuple[int, ...] = (*range(3, 17), 18, 20, 24, 28, 36)
RARITY: tuple[int, ...] = (14, 12, 10, 8, 6, 4, 2, 0)
RARE_MAX = 16
_PERMILLE: tuple[int, ...] = (5, 10, 20, 35, 60, 100, 150, 250)  # bands of amounts that differ
# Bands of whole days after the left event, by their last day, with the default share of true pairs
_AFTER: tuple[tuple[int, float], ...] = (
    (0, 0.12), (1, 0.12), (2, 0.1), (3, 0.08), (4, 0.05), (5, 0.04), (6, 0.03), (8, 0.03),
    (11, 0.03), (15, 0.02), (21, 0.02), (31, 0.02), (62, 0.01),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee schedule: right = left less `rate_bp` basis points and `fixed` minor units."""

    rate_bp: int
    fixed: int

    @property
    def label(self) -> str:
        """Such as `2.9 % and 30`."""
        return f"{self.rate_bp / 100:g} % and {self.fixed}"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a reconciliation declares, or has taught, about its pairs.

    `before` and `after` bound right minus left time, `single` says that a pair settles an event
    alone (no part payments), `extra` are the declared further fields in the order of the columns
    `x0`, `x1`, ..., `fee` is a learned schedule.
    """

    before: Duration
    after: Duration
    single: bool = True
    extra: tuple[str, ...] = ()
    fee: Fee | None = None


def comparisons(filled: Collection[str], terms: Terms) -> tuple[Comparison, ...]:
    """The comparisons for the fields that both sides fill (names as of `features.filled`)."""
    has = set(filled)
    found: list[Comparison] = []
    if "amount" in has:
        found.append(_amount(has, terms))
    if "ts" in has:
        found.append(_lag(days(terms.before), days(terms.after)))
    if has & {"email", "name", "phone", "postcode"}:
        found.append(_customer(has))
    if "text" in has:
        found.append(_text())
    if "name_text" in has:
        found.append(_mention("name_text", "words", "text_words", "left name in right text"))
    if "text_name" in has:
        found.append(_mention("text_name", "text_words", "words", "left text and right name"))
    further = enumerate(terms.extra)
    found += [_further(f"x{i}", field) for i, field in further if f"x{i}" in has]
    return tuple(found)


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
    if terms.fee is not None:
        paid = f"{left} - round({left} * {terms.fee.rate_bp} / 10000.0) - {terms.fee.fixed}"
        off = f"abs({paid} - {right}) <= 1"
        levels.append(Level(f"left less the usual fee of {terms.fee.label}", off, 0.2, 1e-4))
    last = 0
    for edge in _PERMILLE:
        band = f"{last / 10:g} to {edge / 10:g} %"
        bound = f"{gap} * 1000 <= abs({left}) * {edge}"
        u = 0.0012 * (edge - last) / 10
        lower = f"{bound} and abs({right}) < abs({left})"
        levels.append(Level(f"right is {band} lower", lower, 0.03, u))
        levels.append(Level(f"right is {band} higher", bound, 0.016, u))
        last = edge
    far = 1e-4 if terms.single else 0.02
    levels.append(Level("amounts differ", None, far, 0.9, None, far))
    nothing = "l.amount is null or r.amount is null"
    if "currency" in has:
        levels.insert(0, Level("currencies differ", null, far, 0.3, None, far))
    else:
        nothing += f" or {null}"
    return Comparison("amount", "amount", nothing, tuple(levels))


def _lag(before: int, after: int) -> Comparison:
    """Right time minus left time, in hours where both are instants, else in days."""
    exact = "l.instant and r.instant and r.ts - l.ts"
    day = "floor((r.ts - l.ts + 43200) / 86400)"
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
    return Comparison("lag", "time lag", "l.ts is null or r.ts is null", tuple(levels))


def _days_after(low: int, high: int) -> str:
    if high == 0:
        return "same day"
    if high == low:
        return "1 day after" if high == 1 else f"{high} days after"
    return f"{low} to {high} days after"


_USER = "jaro_winkler_similarity(l.email_user, r.email_user) >= 0.92"
_ALIKE = "jaro_winkler_similarity(l.name, r.name) >= 0.8"
_CUT = (
    "(jaro_winkler_similarity(l.name, r.name) >= 0.92"
    " or l.name_last = r.name_last and l.name_first = r.name_first)"
)
_SILENT = "(l.email is null or r.email is null)"
_ONE_PLACE = "l.name = r.name and l.postcode = r.postcode"
# Fields a level needs, its label, condition, default m and u, and the key it implies.
_Step = tuple[frozenset[str], str, str | None, float, float, str | None]
_E, _N, _P, _Z = (frozenset({f}) for f in ("email", "name", "phone", "postcode"))
_PERSON: tuple[_Step, ...] = (
    (_E, "same e-mail", "l.email = r.email", 0.55, 2e-4, "email_user"),
    (_E, "same e-mail user", "l.email_user = r.email_user", 0.1, 1e-4, "email_user"),
    (_P, "same phone", "l.phone = r.phone", 0.1, 1e-4, "phone"),
    (_E | _N, "e-mail off by a typo, names alike", f"{_USER} and {_ALIKE}", 0.08, 2e-5, None),
    (_N | _Z, "same name and postcode", _ONE_PLACE, 0.05, 2e-5, "name"),
    (
        _E | _N,
        "same name, an e-mail not told",
        f"l.name = r.name and {_SILENT}",
        0.05,
        2e-4,
        "name",
    ),
    (_N, "same name", "l.name = r.name", 0.08, 2e-4, "name"),
    (
        _E | _N,
        "name cut or misspelt, an e-mail not told",
        f"{_CUT} and {_SILENT}",
        0.04,
        3e-4,
        None,
    ),
    (_N, "name cut or misspelt", _CUT, 0.05, 3e-4, None),
    (_E, "e-mail off by a typo", _USER, 0.03, 5e-4, None),
    (_N, "a word of the name", "list_has_any(l.words, r.words)", 0.03, 0.01, None),
    (_Z, "same postcode", "l.postcode = r.postcode", 0.03, 2e-3, "postcode"),
    (frozenset(), "different", None, 0.05, 0.98, None),
)


def _customer(has: Collection[str]) -> Comparison:
    """Who it was, on one ladder: e-mail, phone, name and postcode tell of the same person.

    Two rows of one customer agree on all of these at once whether or not they are the same
    purchase, so their agreement must not be counted more than once.
    """
    told = [f for f in ("email", "name", "phone", "postcode") if f in has]
    null = " and ".join(f"(l.{f} is null or r.{f} is null)" for f in told)
    levels = tuple(
        Level(label, sql, m, u, key)
        for needs, label, sql, m, u, key in _PERSON
        if needs <= set(has)
    )
    return Comparison("customer", "customer", null, levels)


def _further(column: str, field: str) -> Comparison:
    typo = f"length(l.{column}) >= 6 and damerau_levenshtein(l.{column}, r.{column}) <= 1"
    return Comparison(
        column,
        field,
        f"l.{column} is null or r.{column} is null",
        (
            Level("same", f"l.{column} = r.{column}", 0.8, 5e-4, column),
            Level("off by one character", typo, 0.05, 5e-4),
            Level("different", None, 0.15, 0.999),
        ),
    )


def _text() -> Comparison:
    """How much the shared start of two texts says: the fewer rows have that start, the more.

    Bank memos are cut off, and end in words that are put there by chance; what they begin with
    names somebody. Texts that start differently may still share their words.
    """
    levels = [
        Level(
            f"same start, fewer than 1 row in {2**k}" if k else "same start, a common one",
            f"l.start_{k} = r.start_{k}",
            m,
            0.5**k / 2,
            f"start_{RARITY[-1]}",
        )
        for k, m in zip(RARITY, (0.25, 0.15, 0.12, 0.08, 0.06, 0.04, 0.03, 0.02), strict=True)
    ]
    words = "len(list_intersect(l.text_words, r.text_words))"
    least = "least(len(l.text_words), len(r.text_words))"
    like = "jaro_winkler_similarity(l.text, r.text) >= 0.9"
    levels += [
        Level("off by a typo", like, 0.04, 5e-4),
        Level("all words shared", f"{words} = {least} and {least} >= 2", 0.04, 5e-4),
        Level("half of the words shared", f"{words} * 2 >= {least} and {words} >= 1", 0.05, 0.02),
        Level("texts differ", None, 0.12, 0.93),
    ]
    null = "l.text is null or r.text is null"
    return Comparison("text", "description", null, tuple(levels))


def _mention(name: str, own: str, other: str, label: str) -> Comparison:
    both = f"len(list_intersect(l.{own}, r.{other}))"
    named = f"least(len(l.{own}), len(r.{other}))"
    return Comparison(
        name,
        label,
        f"l.{own} is null or r.{other} is null",
        (
            Level("all words", f"{both} = {named} and {named} >= 2", 0.5, 1e-4),
            Level("a word", f"{both} >= 1", 0.2, 5e-3),
            Level("no word in common", None, 0.3, 0.995),
        ),
    )


def _rare(column: str, rarity: int) -> str:
    return f"{column} >= {rarity}"
