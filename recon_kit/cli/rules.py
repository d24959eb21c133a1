"""Commands about rules: what decisions suggest, what is proposed, where each stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cyclopts import App

from recon_kit.cli.app import COMMON, Common, app, bench_of, show

rules_app = App(
    name="rules", help="Rules, distilled from decisions or your own: look, propose, list."
)
app.command(rules_app)


@rules_app.command
def distil(reconciliation: str | None = None, *, common: Common = COMMON) -> int:
    """Show the rules that decisions suggest, and what each would do today; propose nothing.

    Args:
        reconciliation: Whose decisions; needed when several are declared.
    """
    return show(bench_of(common).distil(reconciliation), common)


@rules_app.command
def propose(
    names: Sequence[str] = (),
    *,
    file: Path | None = None,
    reconciliation: str | None = None,
    common: Common = COMMON,
) -> int:
    """Propose rules; they do nothing until others approve and promote them.

    Args:
        names: Names that `recon rules distil` shows; all of them, where none is given.
        file: A TOML file with rules of your own, instead.
        reconciliation: Whose; needed when several are declared.
    """
    found = bench_of(common).propose_rules(*names, file=file, reconciliation=reconciliation)
    return show(found, common)


@rules_app.command(name="list")
def list_rules(reconciliation: str | None = None, *, common: Common = COMMON) -> int:
    """List proposed rules and where each stands.

    Args:
        reconciliation: Only of this one.
    """
    return show(bench_of(common).rules(reconciliation), common)
