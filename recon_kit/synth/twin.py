"""Make a twin, or open one that was made: files, settings, order of delivery and truth."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from recon_kit.errors import WorkspaceError
from recon_kit.settings import FILE_NAME
from recon_kit.synth.demo_settings import demo_settings
from recon_kit.synth.other_files import ads_files, bank_files, wholesale_file
from recon_kit.synth.shop_files import shop_files
from recon_kit.synth.story import tell_story
from recon_kit.synth.stripe_files import stripe_files
from recon_kit.synth.tables import LISTED, Prices
from recon_kit.synth.truth import write_truth
from recon_kit.synth.writer import Delivery, moment

MANIFEST = "manifest.json"
START = date(2026, 7, 6)
CLOCK_HOURS = 12  # after the end of the files the workspace's clock stands still
ORDERS_MIN = 20


@dataclass(frozen=True, slots=True)
class Twin:
    """A folder with `recon.toml`, `files/`, `manifest.json` and `truth/`.

    `deliveries` are in the order in which the files were received.
    """

    folder: Path
    orders: int
    seed: int
    start: date
    days: int
    as_of: datetime
    deliveries: tuple[Delivery, ...]
    truth_rows: dict[str, int]

    @property
    def settings_file(self) -> Path:
        """The twin's `recon.toml`."""
        return self.folder / FILE_NAME

    @property
    def truth(self) -> Path:
        """The folder with what is true."""
        return self.folder / "truth"

    def path(self, delivery: Delivery) -> Path:
        """Where a delivered file lies."""
        return self.folder / delivery.file


def make(  # noqa: PLR0913 - the knobs of a world, all but the folder by name
    folder: Path,
    *,
    orders: int,
    seed: int = 7,
    start: date = START,
    days: int = 84,
    reports: str | None = None,
    prices: Prices = LISTED,
) -> Twin:
    """Write a twin into a folder.

    The same arguments give the same bytes on any machine. The world is held as numbers, text
    is made and written in blocks: a million orders need about a minute and 1.6 GB.

    Args:
        folder: made when absent; files of the same names are replaced.
        orders: number of orders in the files (at least 20).
        seed: another seed is another world.
        start: first day of the shop's files.
        days: how many days they tell.
        reports: folder of reports for `recon.toml`, relative to it.
        prices: what the processor changes in its price list; by default nothing.

    Returns:
        The twin, as `load` would open it.
    """
    if orders < ORDERS_MIN or days < 1:
        raise WorkspaceError(
            f"a twin needs at least {ORDERS_MIN} orders and one day, not {orders} and {days}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    world = tell_story(orders=orders, seed=seed, start=start, days=days, prices=prices)
    draws, period = world.draws, world.period
    ads, places = ads_files(draws, period, world.conversions, folder)
    deliveries = [
        *shop_files(draws, period, world.book, world.refunds, folder),
        wholesale_file(draws, period, world.book, folder),
        *stripe_files(draws, period, world.paid, folder),
        *bank_files(period, world.bank, folder),
        *ads,
    ]
    twin = Twin(
        folder=folder, orders=orders, seed=seed, start=start, days=days,
        as_of=moment(period.end_ts) + timedelta(hours=CLOCK_HOURS),
        deliveries=tuple(sorted(deliveries, key=lambda d: (d.received_at, d.source, d.file))),
        truth_rows=write_truth(world, places, folder),
    )  # fmt: skip
    twin.settings_file.write_text(demo_settings(twin.as_of, reports), encoding="utf-8")
    (folder / MANIFEST).write_text(_manifest(twin), encoding="utf-8")
    return twin


def load(folder: Path) -> Twin:
    """Open a twin by its manifest."""
    path = folder / MANIFEST
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WorkspaceError(
            f"{folder} holds no {MANIFEST}, so it is no twin; `recon demo` makes one"
        ) from None
    deliveries = tuple(
        Delivery(**{**row, "received_at": _time(row["received_at"]), "as_of": _time(row["as_of"])})
        for row in told["deliveries"]
    )
    return Twin(
        folder=folder, orders=told["orders"], seed=told["seed"],
        start=date.fromisoformat(told["start"]), days=told["days"], as_of=_time(told["as_of"]),
        deliveries=deliveries, truth_rows=told["truth_rows"],
    )  # fmt: skip


def _manifest(twin: Twin) -> str:
    rows = [
        {**asdict(d), "received_at": d.received_at.isoformat(), "as_of": d.as_of.isoformat()}
        for d in twin.deliveries
    ]
    told = {
        "what": "an invented shop: no person, order or payment in these files is real",
        "orders": twin.orders, "seed": twin.seed, "start": twin.start.isoformat(),
        "days": twin.days, "as_of": twin.as_of.isoformat(), "truth_rows": twin.truth_rows,
        "deliveries": rows,
    }  # fmt: skip
    return json.dumps(told, indent=2) + "\n"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
