"""The block of a file that a vendor's feed reads, with what of its notation is not the vendor's."""

from __future__ import annotations

from collections.abc import Mapping

from recon_kit.ingestion.feed import normal_header
from recon_kit.ingestion.guess import ColumnGuess, number_marks
from recon_kit.ingestion.toml_block import OWNER, quoted

# Columns whose notation counts, and the time that every row has, by vendor.
_AMOUNTS: dict[str, tuple[str, ...]] = {
    "stripe": ("gross", "fee", "net"),
    "shopify": ("total", "refunded amount"),
    "google_ads": ("conversion value", "adjusted value", "adjustment value", "restatement value"),
}
_TIMES: dict[str, tuple[str, ...]] = {
    "stripe": ("created utc", "created"),
    "shopify": ("created at",),
    "google_ads": ("adjustment time", "conversion time"),
}


def vendor_block(feed: str, guesses: Mapping[str, ColumnGuess]) -> list[str]:
    """Lines of the block below its name: the feed, the owner, zone and options where needed.

    Args:
        feed: name of the feed.
        guesses: what each column seems to hold.
    """
    vendor = feed.partition(".")[0]
    named = {normal_header(c): g for c, g in guesses.items()}
    lines = [f"feed = {quoted(feed)}", OWNER]
    if vendor == "shopify" and "total" not in named:
        lines.append("# the file has no column 'Total': its orders would tell no amount")
    time = next((named[n] for n in _TIMES[vendor] if n in named), None)
    formats = time.formats if time is not None else ()
    if vendor == "stripe" and "created utc" not in named:
        lines.append('timezone = "UTC"  # put the zone that the report was requested in')
    elif vendor == "shopify" and formats and "%z" not in formats[0]:
        lines.append('timezone = "UTC"  # the times carry no offset: put the zone of the shop')
    money = [named[n] for n in _AMOUNTS[vendor] if n in named]
    coded = any(g.kind == "currency" for g in named.values())
    return lines + _options(vendor, money, formats, coded=coded)


def _options(
    vendor: str, money: list[ColumnGuess], formats: tuple[str, ...], *, coded: bool
) -> list[str]:
    options: list[str] = []
    notes: list[str] = []
    if not coded and vendor != "stripe" and any(g.kind in {"amount", "count"} for g in money):
        options.append('currency = "USD"')
        notes.append("# no column holds a currency: put the right one")
    decimal, mark = number_marks(money)
    if decimal == ",":
        options.append('decimal = ","')
    if mark is not None:
        options.append(f"thousands = {quoted(mark)}")
        notes.append(f"# some amounts (such as 1{mark}234) read either way: check `thousands`")
    if formats and not _is_own(vendor, formats[0]):
        options.append(f"date_formats = [{quoted(formats[0])}]")
        notes.append("# a spreadsheet has rewritten the times: check `date_formats`")
        if len(formats) > 1:
            rivals = ", ".join(formats[1:])
            notes.append(f"# every time also reads as {rivals}, with another meaning: choose one")
    return [*notes, f"options = {{ {', '.join(options)} }}"] if options else notes


def _is_own(vendor: str, text: str) -> bool:
    """Whether a format is one of those in which the vendor itself prints times."""
    if vendor == "google_ads":
        return True  # its feed knows every format that the vendor takes
    return text.startswith("%Y-%m-%d") and text != "%Y-%m-%d"
