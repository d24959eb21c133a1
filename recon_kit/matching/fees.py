"""Reading a fee schedule off amounts and fees: percent, fixed part, cap, and since when.

A processor takes a rate of the amount, rounded to the minor unit, and a fixed part. With whole
numbers that leaves nothing to estimate: of all rates in basis points, the one under which most
rows show one and the same fixed part is the schedule, and the share of rows it explains says how
sure that is. Rows that it does not explain (overcharges, typing errors) do not pull it, as they
would pull a least-squares line.

Rates that change are found by scanning rows in order of time for the stretch that one schedule
explains best; what lies before and after is read again by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon_kit.matching.optimum import Ints, Mask

ROWS_MIN = 20
AMOUNTS_MIN = 8  # distinct amounts: a single price fits every schedule
DAYS_MIN = 7  # a change has to hold for a week; until then its rows are differences
SHARE_MIN = 0.9  # of the rows of its stretch that a schedule has to explain
_RATE_BP_MAX = 2_000
_SLOPES = 4_096  # pairs of rows from which candidate rates are read
_TRIED = 24  # candidate rates that are tried on all rows
_STRETCHES_MAX = 12
_PENALTY = 3  # a row that is not explained outweighs so many that are
_CAP_ROWS_MIN = 5


@dataclass(frozen=True, slots=True)
class Tariff:
    """fee = `rate_bp` of the amount, rounded half up, plus `fixed_minor`, at most `cap_minor`."""

    rate_bp: int
    fixed_minor: int
    cap_minor: int | None = None

    def fee(self, gross: Ints) -> Ints:
        """The fee of each amount, in minor units."""
        fee = (gross * self.rate_bp + 5_000) // 10_000 + self.fixed_minor
        return np.asarray(fee if self.cap_minor is None else np.minimum(fee, self.cap_minor))

    def explains(self, gross: Ints, fee: Ints) -> Mask:
        """Which fees are this tariff's, to one minor unit: processors round in several ways."""
        return np.asarray(np.abs(self.fee(gross) - fee) <= 1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A tariff and the rows (from, to: half open, in order of time) over which it holds."""

    first: int
    end: int
    tariff: Tariff
    exact: int


def usual(gross: Ints, fee: Ints, share_min: float = SHARE_MIN) -> Tariff | None:
    """The tariff that explains most rows, if it explains that share of them and at least 20."""
    found = _best(gross, fee)
    if found is None:
        return None
    exact = found.explains(gross, fee)
    enough = max(ROWS_MIN, share_min * len(gross))
    varied = _varied(gross[exact], AMOUNTS_MIN)
    return found if int(exact.sum()) >= enough and varied else None


def over_time(gross: Ints, fee: Ints, day: Ints) -> list[Stretch]:
    """The tariffs of rows in order of time, each with the stretch over which it holds.

    Args:
        gross: amounts in minor units.
        fee: what was taken of each.
        day: day numbers, not falling.

    Returns:
        Stretches in order of time; none may be found. Rows in no stretch fit no tariff.
    """
    found: list[Stretch] = []
    waiting = [(0, len(gross))]
    while waiting and len(found) < _STRETCHES_MAX:
        first, end = waiting.pop()
        stretch = _longest(gross[first:end], fee[first:end], day[first:end])
        if stretch is None:
            continue
        low, high = first + stretch.first, first + stretch.end
        found.append(Stretch(low, high, stretch.tariff, stretch.exact))
        waiting += [(first, low), (high, end)]
    return _joined(sorted(found, key=lambda s: s.first), gross, fee)


def _longest(gross: Ints, fee: Ints, day: Ints) -> Stretch | None:
    """The stretch of rows that one tariff explains best, by most rows over those it does not."""
    if len(gross) < ROWS_MIN:
        return None
    best: Stretch | None = None
    # The commonest tariff of all rows may hide behind a mixture: halves are looked at as well.
    half = len(gross) // 2
    for low, high in ((0, len(gross)), (0, half), (half, len(gross))):
        tariff = _best(gross[low:high], fee[low:high])
        if tariff is None:
            continue
        fits = tariff.explains(gross, fee)
        first, end = _top_run(fits)
        exact = int(fits[first:end].sum())
        if _holds(gross[first:end], day[first:end], exact) and (best is None or exact > best.exact):
            best = Stretch(first, end, tariff, exact)
    return best


def _holds(gross: Ints, day: Ints, exact: int) -> bool:
    """Whether a stretch is long, varied and clean enough to be called a schedule."""
    return (
        exact >= max(ROWS_MIN, SHARE_MIN * len(gross))
        and _varied(gross, AMOUNTS_MIN)
        and int(day[-1] - day[0]) >= DAYS_MIN
    )


def _varied(amounts: Ints, least: int) -> bool:
    """Whether there are so many distinct amounts; most often the first few say so."""
    return len(np.unique(amounts[:256])) >= least or len(np.unique(amounts)) >= least


def _top_run(fits: Mask) -> tuple[int, int]:
    """The run of rows with the greatest sum: one for each row that fits, minus 3 for the others."""
    total = np.r_[0, np.cumsum(np.where(fits, 1, -_PENALTY))]
    lowest = np.minimum.accumulate(total)
    end = int(np.argmax(total - lowest))
    first = int(np.argmin(total[: end + 1]))
    return first, end


def _joined(found: list[Stretch], gross: Ints, fee: Ints) -> list[Stretch]:
    """Neighbours with one tariff are one stretch, whatever odd rows lie between them."""
    joined: list[Stretch] = []
    for stretch in found:
        if joined and joined[-1].tariff == stretch.tariff:
            first = joined.pop().first
            whole = slice(first, stretch.end)
            exact = int(stretch.tariff.explains(gross[whole], fee[whole]).sum())
            joined.append(Stretch(first, stretch.end, stretch.tariff, exact))
        else:
            joined.append(stretch)
    return joined


def _best(gross: Ints, fee: Ints) -> Tariff | None:
    """The tariff that explains most rows exactly; of equals the lower rate."""
    if len(gross) < ROWS_MIN:
        return None
    best, most = None, 0
    for rate in _rates(gross, fee):
        rest = fee - (gross * rate + 5_000) // 10_000
        low = int(rest.min())
        fixed = int(np.bincount(np.clip(rest - low, 0, 100_000)).argmax()) + low
        if fixed < 0:
            continue
        tariff = _with_cap(Tariff(rate, fixed), gross, fee)
        exact = int((tariff.fee(gross) == fee).sum())
        if exact > most:
            best, most = tariff, exact
    return best


def _rates(gross: Ints, fee: Ints) -> list[int]:
    """Rates in basis points that pairs of rows suggest, the most often suggested ones.

    Two rows of one tariff differ in their fees by the rate of what they differ in amount.
    """
    order = np.argsort(gross, kind="stable")
    gross, fee = gross[order], fee[order]
    half = len(gross) // 2
    at = np.unique(np.linspace(0, len(gross) - half - 1, min(_SLOPES, half)).astype(np.int64))
    # Neighbours at several distances: rows of one tariff meet even where tariffs are mixed.
    steps = {half, max(half // 2, 1), max(half // 3, 1)}
    slopes = []
    for step in sorted(steps):
        run = gross[at + step] - gross[at]
        rise = (fee[at + step] - fee[at])[run > 0]
        slopes.append(np.rint(rise * 10_000 / run[run > 0]).astype(np.int64))
    told = np.concatenate(slopes)
    told = told[(told >= 0) & (told <= _RATE_BP_MAX)]
    if not len(told):
        return [0]
    counts = np.bincount(told)
    # A slope is off by one where both fees were rounded: its neighbours are tried as well.
    spread = counts + np.r_[0, counts[:-1]] + np.r_[counts[1:], 0]
    top = np.argsort(-spread, kind="stable")[:_TRIED]
    near = {int(rate) + off for rate in top if spread[rate] > 0 for off in (-1, 0, 1)}
    return sorted({0, *(rate for rate in near if 0 <= rate <= _RATE_BP_MAX)})


def _with_cap(tariff: Tariff, gross: Ints, fee: Ints) -> Tariff:
    """The tariff with a cap, where the highest fee recurs on amounts that would pay more."""
    above = tariff.fee(gross) > fee + 1
    highest = int(fee.max())
    capped = above & (fee == highest)
    if int(capped.sum()) >= _CAP_ROWS_MIN and _varied(gross[capped], _CAP_ROWS_MIN):
        return Tariff(tariff.rate_bp, tariff.fixed_minor, highest)
    return tariff
