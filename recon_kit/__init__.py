"""recon_kit reconciles orders, payments, payouts, bank lines and conversions, with evidence.

    import recon_kit as rk

    bench = rk.open("data/demo")
    bench.summary()

Results are polars frames that show themselves in Jupyter. Importing the package loads no matching
model, chart or widget code; each arrives when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recon_kit.errors import ReconError
    from recon_kit.workbench.bench import Workbench, init, open  # noqa: A004 - rk.open reads
    from recon_kit.workbench.demo import demo

__all__ = ["ReconError", "Workbench", "__version__", "demo", "init", "open"]

__version__ = "0.1.0"
_HOMES = {
    "ReconError": "recon_kit.errors",
    "Workbench": "recon_kit.workbench.bench",
    "demo": "recon_kit.workbench.demo",
    "init": "recon_kit.workbench.bench",
    "open": "recon_kit.workbench.bench",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'recon_kit' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
