"""Who it was: e-mail, phone, name and postcode on one ladder.

Two rows of one customer agree on all of these at once whether or not they are the same purchase,
so their agreement must not be counted more than once.
"""

from __future__ import annotations

from collections.abc import Collection

from recon_kit.matching.ladders import Comparison, Level

_USER = "jaro_winkler_similarity(l.email_user, r.email_user) >= 0.92"
# A mailbox that many use says little about who it was (see `rarity`).
_OWN = "not (l.shared_mail or r.shared_mail)"
_DOMAIN = "damerau_levenshtein(l.email_domain, r.email_domain) <= 2"
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
    (_E, "same e-mail", f"l.email = r.email and {_OWN}", 0.55, 2e-4, "email_user"),
    (
        _E,
        "same e-mail user, its domain misspelt",
        f"l.email_user = r.email_user and {_OWN} and {_DOMAIN}",
        0.02,
        1e-5,
        "email_user",
    ),
    (_E, "same e-mail user", f"l.email_user = r.email_user and {_OWN}", 0.1, 1e-4, "email_user"),
    (_P, "same phone", "l.phone = r.phone", 0.1, 1e-4, "phone"),
    (
        _E | _N,
        "a shared mailbox, names alike",
        f"l.email_user = r.email_user and {_ALIKE}",
        0.04,
        1e-4,
        "email_user",
    ),
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
    (_P, "phones end alike", "l.phone_end = r.phone_end", 0.02, 1e-4, "phone_end"),
    (
        _E | _N,
        "name cut or misspelt, an e-mail not told",
        f"{_CUT} and {_SILENT}",
        0.04,
        3e-4,
        None,
    ),
    (_N, "name cut or misspelt", _CUT, 0.05, 3e-4, None),
    (_E, "e-mail off by a typo", f"{_USER} and l.email_user <> r.email_user", 0.03, 5e-4, None),
    (_E, "a shared mailbox", "l.email_user = r.email_user", 0.02, 1e-3, "email_user"),
    (_N, "a word of the name", "list_has_any(l.words, r.words)", 0.03, 0.01, None),
    (_Z, "same postcode", "l.postcode = r.postcode", 0.03, 2e-3, "postcode"),
    (frozenset(), "different", None, 0.05, 0.98, None),
)


def customer(has: Collection[str]) -> Comparison:
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
