"""Money of two rows side by side: the currency both can be told in, and whether they agree.

SQL expressions over two row aliases that carry `amount, currency, shown, shown_currency` (see
`pool`). Sums and differences are HUGEINT; nothing is ever converted by a rate.
"""

from __future__ import annotations

from recon_kit.matching import keys
from recon_kit.settings import Reconciliation

_OWN = ("amount", "currency")
_SHOWN = ("shown", "shown_currency")


def shared_currency(
    left: str, right: str, told: tuple[tuple[str, str], ...] = (_OWN, _SHOWN)
) -> str:
    """The currency in which both rows have an amount: own before presented; null if none.

    `told` are the amounts and currencies that rows may have, the first before the next.
    """
    arms = [
        f"when {left}.{la} is not null and {right}.{ra} is not null"
        f" and {left}.{lc} = {right}.{rc} then {left}.{lc}"
        for la, lc in told
        for ra, rc in told
    ]
    return "case " + " ".join(arms) + " end"


def amount_in(currency: str, row: str) -> str:
    """The amount of a row in a currency, own before presented; null if it has none in it."""
    return (
        f"case when {row}.currency = {currency} and {row}.amount is not null then {row}.amount"
        f" when {row}.shown_currency = {currency} then {row}.shown end"
    )


def lacks_amount(row: str) -> str:
    """Whether a row tells no amount at all (or one without a currency)."""
    return f"({row}.amount is null or {row}.currency is null)"


def agree(rec: Reconciliation, left_sum: str, right_sum: str) -> str:
    """Whether two sums differ by no more than the tolerance; null when one is unknown."""
    allowed = keys.allowed_sql(rec.tolerance, left_sum)
    return f"abs({left_sum}::hugeint - {right_sum}) <= {allowed}"


def pair_money(
    rec: Reconciliation, left: str = "l", right: str = "r", *, shown: bool = True
) -> str:
    """Columns `currency, left_sum, right_sum, amount_note` of two rows, as a select list.

    Where no currency is shared the left's own stands, and the right sum is unknown. `amount_note`
    is null where the amounts agree, else `amount_mismatch`, `no_amount` or `currency`. `shown` is
    whether any row tells a presented amount: without one half of the questions need no answer.
    """
    shared = shared_currency(left, right, (_OWN, _SHOWN) if shown else (_OWN,))
    left_amount, right_amount = (
        amount_in("shared", row) if shown else f"{row}.amount" for row in (left, right)
    )
    left_lacks, right_lacks = lacks_amount(left), lacks_amount(right)
    return f"""
        {shared} as shared,
        case when shared is not null then shared when {left_lacks} then {right}.currency
             else {left}.currency end as currency,
        case when shared is not null then {left_amount}
             else {left}.amount end as left_sum,
        case when shared is not null then {right_amount}
             when {left_lacks} then {right}.amount end as right_sum,
        case when shared is not null
             then case when {agree(rec, "left_sum", "right_sum")} then null
                       else 'amount_mismatch' end
             when {left_lacks} or {right_lacks} then 'no_amount'
             else 'currency' end as amount_note"""


def side_sums(rec: Reconciliation) -> str:
    """`left_sum, right_sum` from `target`, the principal's money, and `total`, the many's."""
    if keys.one_side(rec) == "left":
        return "target as left_sum, total as right_sum"
    return "total as left_sum, target as right_sum"


def ties(rec: Reconciliation, total: str) -> str:
    """Whether a total of the many agrees with `target`."""
    if keys.one_side(rec) == "left":
        return agree(rec, "target", total)
    return agree(rec, total, "target")
