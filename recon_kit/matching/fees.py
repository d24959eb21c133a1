"""The usual fee between two sides, read off the pairs that are all but certain.

Where the right amount is net of a processor's fee of, say, 2.9 % and 30 cents, an amount that is
off by exactly that fee says as much as an equal one. The schedule is part of the stored model.
"""

from __future__ import annotations

import numpy as np

from recon_kit.ledger.engine import Engine
from recon_kit.matching.comparisons import Fee

_RATES_BP = range(0, 605, 5)
_FIXED_MAX = 100  # minor units
_PAIRS_MIN = 20
_SHARE_MIN = 0.2  # of the sure pairs whose right amount is lower
_AMOUNTS_MIN = 10  # one price alone fits every schedule
_SAMPLE = 100_000


def usual_fee(engine: Engine) -> Fee | None:
    """The commonest schedule among `sure_pairs(l, r)`, or None if none stands out.

    Every rate from 0 to 6 % in steps of 5 basis points is tried; for each, what is left of the
    difference is counted by whole minor units. The schedule that explains most pairs exactly is
    the usual one, if it explains at least 20 and a fifth of them.
    """
    found = engine.rows(
        f"""select a.amount as gross, a.amount - b.amount as less from sure_pairs s
        join side_left a on a.seq = s.l join side_right b on b.seq = s.r
        where a.currency = b.currency and a.amount - b.amount > 3 and b.amount * 4 > a.amount * 3
        order by s.l, s.r limit {_SAMPLE}"""
    )
    gross, less = found["gross"].to_numpy(), found["less"].to_numpy()
    best, best_count = None, max(_PAIRS_MIN, _SHARE_MIN * len(found)) - 1
    for rate in _RATES_BP:
        rest = less - (gross * rate + 5_000) // 10_000
        fits = (rest >= 0) & (rest <= _FIXED_MAX)
        if not fits.any():
            continue
        counts = np.bincount(rest[fits])
        fixed = int(counts.argmax())
        exact = fits & (rest == fixed)
        if counts[fixed] > best_count and len(np.unique(gross[exact])) >= _AMOUNTS_MIN:
            best, best_count = Fee(rate, fixed), counts[fixed]
    return best
