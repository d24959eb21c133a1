"""Declared spellings of a source's keys: what its ids carry that means nothing.

`[[sources]] key_normalisers = ["prefix:ORD-", "zero_padding", "case"]` says how ids of one source
are written; `settings` checks the words. What adds text (`prefix:`, `suffix:`) is taken off where
that source wrote it; what only spells (`hash`, `dashes`, `case`, `zero_padding`) is levelled on
both sides, as either may spell it its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from recon_kit.safe import quote_text

# In the order in which they are applied, with what a person reads beside a repaired key.
WORDS: dict[str, str] = {
    "hash": "hash", "prefix": "prefix", "suffix": "suffix", "dashes": "dashes", "case": "case",
    "zero_padding": "zero padding",
}  # fmt: skip
# Hyphens, dashes, minus signs and what stands for them; blanks, dots and slashes stay.
_DASHES = "[-_\u2010-\u2015\u2212\ufe58\ufe63\uff0d]"


def spelled_sql(text: str, source: str, declared: Mapping[str, tuple[str, ...]]) -> str | None:
    """A struct `(text, how)` of a key in its levelled spelling; none where nothing is declared.

    Args:
        text: SQL of the key's text.
        source: SQL of the source's name.
        declared: normalisers by source, as written in `recon.toml`.

    `how` lists the words that changed the text, in order, such as `prefix, zero padding`.
    """
    level = {word for words in declared.values() for word in words if ":" not in word}
    affixes = any(":" in word for words in declared.values() for word in words)
    if not level and not affixes:
        return None
    changes: list[tuple[str, Callable[[str], str]]] = []
    for word, said in WORDS.items():
        if word in ("prefix", "suffix"):
            found = [
                (name, affix)
                for name, words in sorted(declared.items())
                for one, _, affix in (w.partition(":") for w in words)
                if one == word
            ]
            if found:
                changes.append((said, _without(word, source, found)))
        elif word in level:
            changes.append((said, _LEVELLED[word]))
    at = f"struct_pack(text := {text}, how := []::varchar[])"
    for said, change in changes:
        changed = change("s.text")
        at = (
            f"list_transform([{at}], lambda s: struct_pack(text := {changed}, how := case when"
            f" {changed} is distinct from s.text then list_append(s.how, {quote_text(said)})"
            " else s.how end))[1]"
        )
    return at


_LEVELLED: dict[str, Callable[[str], str]] = {
    "hash": lambda t: f"regexp_replace({t}, '^#+', '')",
    "dashes": lambda t: f"regexp_replace({t}, '{_DASHES}', '', 'g')",
    "case": lambda t: f"upper({t})",
    # the zeros in front of the first run of digits: ORD-000123 is ORD-123
    "zero_padding": lambda t: rf"regexp_replace({t}, '^([^0-9]*)0+([0-9])', '\1\2')",
}


def _without(word: str, source: str, affixes: Sequence[tuple[str, str]]) -> Callable[[str], str]:
    """Take off what a source puts in front of its ids, or behind them.

    An id that is nothing else stays as it is: an empty key is no key.
    """

    def change(text: str) -> str:
        arms: list[str] = []
        for name, affix in affixes:
            test = "starts_with" if word == "prefix" else "ends_with"
            left = (
                f"substr({text}, {len(affix) + 1})"
                if word == "prefix"
                else f"left({text}, length({text}) - {len(affix)})"
            )
            arms.append(
                f"when {source} = {quote_text(name)} and {test}({text}, {quote_text(affix)})"
                f" and length({text}) > {len(affix)} then {left}"
            )
        return f"case {' '.join(arms)} else {text} end"

    return change
