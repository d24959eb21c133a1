"""What texts and numbers say: memos, names in memos, declared fields, invoice numbers."""

from __future__ import annotations

from recon_kit.matching.ladders import RARITY, Comparison, Level

# Banks put words before a memo and cut it off behind: the rest of it stands inside the other.
_INSIDE = (
    "least(length(l.text), length(r.text)) >= 8"
    " and (contains(l.text, r.text) or contains(r.text, l.text))"
)


def further(column: str, field: str) -> Comparison:
    """A declared field or an id: the same, off by one character, or different."""
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


def text() -> Comparison:
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
        Level("one stands in the other", _INSIDE, 0.03, 2e-4),
        Level("all words shared", f"{words} = {least} and {least} >= 2", 0.04, 5e-4),
        Level("half of the words shared", f"{words} * 2 >= {least} and {words} >= 1", 0.05, 0.02),
        Level("texts differ", None, 0.12, 0.93),
    ]
    null = "l.text is null or r.text is null"
    return Comparison("text", "description", null, tuple(levels))


def mention(name: str, own: str, other: str, label: str) -> Comparison:
    """How many words of one side's column stand in the other side's."""
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


def number(name: str, own: str, other: str, label: str) -> Comparison:
    """Whether a number of one side's keys stands in the other side's text, whole or cut off."""
    ends = (
        f"len(list_filter(l.{own}, lambda n: len(list_filter(r.{other}, "
        "lambda o: (ends_with(n, o) or ends_with(o, n) or starts_with(n, o) or starts_with(o, n))"
        " and least(length(n), length(o)) >= 5)) > 0)) > 0"
    )
    return Comparison(
        name,
        label,
        f"l.{own} is null or r.{other} is null",
        (
            Level("a number in common", f"list_has_any(l.{own}, r.{other})", 0.5, 1e-4),
            Level("a number in part", ends, 0.05, 5e-4),
            Level("no number in common", None, 0.45, 0.999),
        ),
    )


def invoice() -> Comparison:
    """Invoice numbers by their digits: `INV-000123` is `123`; cut off at either end they agree."""
    part = (
        "least(length(l.invoice), length(r.invoice)) >= 4 and (ends_with(l.invoice, r.invoice)"
        " or ends_with(r.invoice, l.invoice) or starts_with(l.invoice, r.invoice)"
        " or starts_with(r.invoice, l.invoice))"
    )
    typo = "length(l.invoice) >= 5 and damerau_levenshtein(l.invoice, r.invoice) <= 1"
    return Comparison(
        "invoice",
        "invoice number",
        "l.invoice is null or r.invoice is null",
        (
            Level("same digits", "l.invoice = r.invoice", 0.6, 1e-4, "invoice"),
            Level("the end or the start of the other", part, 0.1, 2e-4),
            Level("off by one digit", typo, 0.1, 5e-4),
            Level("different", None, 0.2, 0.999),
        ),
    )
