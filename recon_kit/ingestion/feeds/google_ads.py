"""Google Ads: offline click conversions, and adjustments of conversions (CSV).

Above the header a file may hold `#` comments and `Parameters:TimeZone=...`, with an IANA zone or
a fixed offset, a trailing `;` or the commas that a spreadsheet adds. A time's own offset or zone
goes before that parameter, the parameter before the zone of the source.

A row has no id of its own: the event's id is made of its kind, click id, conversion name, time
and order id.

Options of the source:
    currency: the account's currency, for rows that name none.
    account: the account's id, told as `partner_id`.
    date_formats: further formats of times.
    decimal, thousands, delimiter, encoding: notation of the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

from recon_kit import model, money
from recon_kit.ingestion import parts, times
from recon_kit.ingestion.feed import (
    ROW,
    Dialect,
    Feed,
    FeedContext,
    Header,
    Told,
    normal_header,
    told_frame,
)  # fmt: skip
from recon_kit.settings import Source

_OPTIONS = (
    "currency", "account", "date_formats", "decimal", "thousands", "delimiter", "encoding",
)  # fmt: skip
_CLOCKS = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p",
    "%b %d,%Y %I:%M:%S %p", "%b %d, %Y %I:%M:%S %p",
)  # fmt: skip
_TIMES = (*_CLOCKS, *(f"{f}{gap}%z" for f in _CLOCKS for gap in ("", " ")))
_CLICKS = {
    "gclid": ("Google Click ID", "GCLID", "Google Click Id (GCLID)"),
    "gbraid": ("GBRAID",),
    "wbraid": ("WBRAID",),
}
_SPELLINGS: dict[str, tuple[str, ...]] = {
    "conversion": ("Conversion Name", "Conversion Action"),
    "time": ("Conversion Time", "Conversion Date Time"),
    "adjusted_at": ("Adjustment Time", "Adjustment Date Time"),
    "kind": ("Adjustment Type",),
    "value": ("Conversion Value", "Adjusted Value", "Adjustment Value", "Restatement Value"),
    "currency": (
        "Conversion Currency", "Conversion Currency Code", "Adjusted Value Currency",
        "Adjustment Value Currency", "Restatement Currency",
    ),
    "raw_order": ("Order ID", "Transaction ID"),
    "email": ("Email", "Hashed Email", "Hashed Email Address"),
    "phone": ("Phone Number", "Phone", "Hashed Phone Number"),
}  # fmt: skip
_ZONE_LINE = re.compile(r"^parameters\s*:.*?time\s*zone\s*=\s*([^;,\s\"]+)", re.IGNORECASE)
_NULLS = ["--", "-", "n/a", "null", "none"]
_ADJUSTMENTS = ("retract", "retraction", "restate", "restatement", "enhancement")

ROUNDED = "the value had more decimals than its currency; rounded half-even"
SEVERAL_CLICKS = "more than one click id in a row; the first is read"
LOSSY_ORDER = "the order id was rounded by a spreadsheet; the row is kept without it"
UNKNOWN_ADJUSTMENT = "unknown adjustment type; kept as told"

_PROBLEMS = {
    **money.AMOUNT_PROBLEMS,
    **times.TIME_PROBLEMS,
    **parts.WAYS_OUT,
    "currency_missing": money.AMOUNT_PROBLEMS["currency_missing"]
    + "; declare the account's as `currency` in `options` of the source",
    "time_missing": "the row has no time",
    "conversion_missing": "the row names no conversion",
}


class OfflineConversions(Feed):
    """Conversions with their value (none is null, not zero), and retractions and restatements."""

    name = "google_ads.offline_conversions"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        parts.known_options(source, type(self), _OPTIONS)
        extra = parts.option_texts(source, "date_formats", ())
        self._formats = tuple(dict.fromkeys((*extra, *_TIMES)))

    def columns(self) -> Mapping[str, Sequence[str]]:
        """The conversion's name, and the time of it or of its adjustment."""
        return {
            "Conversion Name": _SPELLINGS["conversion"],
            "Conversion Time": (*_SPELLINGS["time"], *_SPELLINGS["adjusted_at"]),
        }

    def dialect(self, head: str) -> Dialect:
        """Skip the lines above the header; take the delimiter that the header fits."""
        known = [n for s in (*_SPELLINGS.values(), *_CLICKS.values()) for n in s]
        first = _preamble_lines(head)
        return Dialect(
            encoding=parts.option_text(self.source, "encoding") or "utf-8",
            delimiter=parts.option_text(self.source, "delimiter")
            or parts.delimiter_of(head, known, first),
            skip_rows=first,
        )

    def tell(self, records: pl.DataFrame, context: FeedContext) -> Told:
        """One conversion or adjustment per row."""
        header = Header(records)
        currency = pl.lit(parts.option_text(self.source, "currency"), dtype=pl.String)
        rows = records.select(
            ROW,
            *(_text(header, *_CLICKS[c]).alias(c) for c in _CLICKS),
            *(_text(header, *names).alias(field) for field, names in _SPELLINGS.items()),
        ).with_columns(
            pl.coalesce(parts.upper_code(pl.col("currency")), currency).alias("currency"),
            parts.snake(pl.col("kind")).alias("kind"),
            pl.coalesce(*_CLICKS).alias("click"),
            model.normal_key(pl.col("raw_order")).alias("order"),
        )
        adjusts = _is_adjustment(header)
        rows = rows.with_columns(
            pl.coalesce("adjusted_at" if adjusts else "time", "time").alias("at")
        )
        rows = rows.with_columns(
            self._instants(context).alias("instant"),
            money.parse_amounts(
                pl.col("value"), pl.col("currency"), round_excess=True,
                decimal=parts.option_text(self.source, "decimal") or ".",
                thousands=parts.option_text(self.source, "thousands"),
            ).alias("money"),
            pl.lit(1, dtype=pl.Int64).alias("records"),
        )  # fmt: skip
        rows = rows.with_columns(parts.first_problem(*_checks()))
        if (rows["code"] == "time_zone_missing").any():
            raise parts.zone_missing(
                context.file, str(header.actual(*_SPELLINGS["adjusted_at"], *_SPELLINGS["time"])),
                f"Set `timezone` of source {context.source.name!r} to the account's zone, or put "
                "`Parameters:TimeZone=Area/City` above the header.",
            )  # fmt: skip
        good = rows.filter(pl.col("code").is_null())
        return Told(
            events=self._events(good, adjusts),
            problems=parts.problem_frame(rows.filter(pl.col("code").is_not_null()), _PROBLEMS),
            warnings=_warnings(good, adjusts),
        )

    def _instants(self, context: FeedContext) -> pl.Expr:
        declared = next((z for line in context.preamble if (z := _zone_in(line))), None)
        return times.parse_times(
            pl.col("at"),
            formats=self._formats,
            zone=declared or context.timezone,
            zone_source="file" if declared else "source",
            named_zone=True,
        )

    def _events(self, good: pl.DataFrame, adjusts: bool) -> pl.DataFrame:
        event_type = "adjustment" if adjusts else "conversion"
        order = pl.when(~parts.is_lossy(pl.col("order"))).then(pl.col("order"))
        amount = pl.col("money").struct["minor"]
        moment = pl.col("instant").struct["ts"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        identity = [
            pl.lit(event_type), pl.col("kind"), pl.col("click"), pl.col("conversion"), moment,
            order,
        ]  # fmt: skip
        return told_frame(
            good.select(
                pl.concat_str([part.fill_null("") for part in identity], separator="\x1f")
                .alias("event_id"),
                pl.lit(value=True).alias("derived_id"),
                pl.lit(event_type).alias("event_type"),
                order.alias("order_id"),
                (pl.coalesce(order, "click") if adjusts else parts.NO_TEXT).alias("parent_key"),
                pl.col("click").alias("click_id"),
                model.json_object({
                    "order_id": pl.col("raw_order"),
                    "value": pl.when(pl.col("money").struct["rounded"]).then(pl.col("value")),
                    **{c: pl.col(c) for c in _CLICKS},
                }).alias("raw_keys"),
                # an adjustment names what it corrects by order id or by click id
                model.json_object(
                    {} if adjusts else {"order_id": order, "click_id": pl.col("click")}
                ).alias("external_ids"),
                amount.alias("amount"),
                pl.when(amount.is_not_null()).then("currency").alias("currency"),
                (pl.col("kind") if adjusts else parts.NO_TEXT).alias("status"),
                pl.col("conversion").alias("description"),
                pl.col("instant").struct["ts"].alias("event_ts"),
                pl.col("at").alias("raw_ts"),
                pl.col("instant").struct["tz_source"].alias("tz_source"),
                pl.col("instant").struct["precision"].alias("ts_precision"),
                pl.lit("google_ads").alias("channel"),
                pl.lit(parts.option_text(self.source, "account"), dtype=pl.String)
                .alias("partner_id"),
                "email", "phone", ROW, "records",
            )
        )  # fmt: skip


def _text(header: Header, *names: str) -> pl.Expr:
    """A cell's text; the file's own spellings of nothing (`--`) are null."""
    text = header.text(*names)
    return pl.when(~text.str.to_lowercase().is_in(_NULLS)).then(text)


def _is_adjustment(header: Header) -> bool:
    """Whether the file corrects earlier conversions (it then has a time or type of adjustment)."""
    return header.actual(*_SPELLINGS["adjusted_at"], *_SPELLINGS["kind"]) is not None


def _preamble_lines(head: str) -> int:
    """Number of lines above the header: blank ones, comments and parameters."""
    for number, line in enumerate(head.splitlines()):
        text = normal_header(line.strip().strip('"'))
        bare = text.strip(",;\t ")
        if bare and not bare.startswith(("#", "parameters:")):
            return number
    return 0


def _zone_in(line: str) -> str | None:
    """The zone of a `Parameters:TimeZone=` line; null for any other line."""
    found = _ZONE_LINE.match(line.replace("\ufeff", "").strip().strip('"'))
    return found[1] if found else None


def _checks() -> list[tuple[pl.Expr, str]]:
    return [
        (pl.when(pl.col("conversion").is_null()).then(pl.lit("conversion_missing")),
         "Conversion Name"),
        (pl.when(pl.col("at").is_null()).then(pl.lit("time_missing")), "Conversion Time"),
        (pl.col("instant").struct["code"], "Conversion Time"),
        (pl.col("money").struct["code"], "Conversion Value"),
    ]  # fmt: skip


def _warnings(good: pl.DataFrame, adjusts: bool) -> dict[str, int]:
    clicks = pl.sum_horizontal(pl.col(c).is_not_null().cast(pl.Int64) for c in _CLICKS)
    checks = {
        ROUNDED: pl.col("money").struct["rounded"],
        SEVERAL_CLICKS: clicks > 1,
        LOSSY_ORDER: parts.is_lossy(pl.col("order")),
    }
    if adjusts:
        checks[UNKNOWN_ADJUSTMENT] = ~pl.col("kind").is_in(_ADJUSTMENTS).fill_null(value=False)
    counts = good.select(check.sum().alias(text) for text, check in checks.items()).row(0)
    return {text: int(n) for text, n in zip(checks, counts, strict=True) if n}
