"""The feed `table`: any table that `recon.toml` declares, from a bank's CSV to a partner's JSON.

A block goes through five stages, each a frame: declared cells as text; type, currency and money
with the declared sign; groups of line items put together; times, ids and keys; events. A row that
fails a stage carries its code to the end and is quarantined, the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import polars as pl

from recon_kit import model, money
from recon_kit.errors import SettingsError, nearest
from recon_kit.ingestion import amounts, columns, control, identity, times
from recon_kit.ingestion.feed import (
    PROBLEM_SCHEMA,
    ROW,
    Dialect,
    Feed,
    FeedContext,
    Header,
    Told,
    normal_header,
    told_frame,
)
from recon_kit.ingestion.groups import put_together, with_group_keys
from recon_kit.settings import Column, Layout, Source

_ESSENTIAL = ("event_ts", "amount", "debit", "credit", "direction", "currency", "native_id")
# What parquet timestamps look like once they are text; the reader itself wrote them.
_ISO = ("%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d")
TABLE_PROBLEMS: dict[str, str] = {
    **money.AMOUNT_PROBLEMS,
    **times.TIME_PROBLEMS,
    **amounts.SIGN_PROBLEMS,
    **identity.ID_PROBLEMS,
    "amount_unreadable": money.AMOUNT_PROBLEMS["amount_unreadable"]
    + "; see `decimal` and `thousands`, and `nulls` for a text that means no amount",
    "amount_decimals": money.AMOUNT_PROBLEMS["amount_decimals"]
    + '; declare `unit = "minor"` if the file counts cents',
    "currency_missing": money.AMOUNT_PROBLEMS["currency_missing"]
    + '; one for all rows is declared by currency = { value = "USD" }',
    "currency_unknown": money.AMOUNT_PROBLEMS["currency_unknown"]
    + "; `map` of columns.currency translates other words",
    "time_unreadable": times.TIME_PROBLEMS["time_unreadable"] + "; add its own to `date_formats`",
    "event_type_unknown": "the text in the type column is mapped to no event type; add it to `map`",
    "group_differs": "the rows of one group disagree in a field that is told once",
    "group_overflow": "the sum of a group is larger than 64-bit minor units can hold",
}
TIMELESS = (
    "rows with an amount and without a time, which other rows tell: name lines of totals in "
    "`footer_regex`"
)
ROUNDED = "amounts with more decimals than their currency, rounded half-even"
_TEST_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Table(Feed):
    """A declared table: `settings.Layout` says how it is written and where each field stands."""

    name = "table"
    strict_signs = True

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        if source.layout is None:
            raise SettingsError(f'source {source.name!r}: feed "table" needs [sources.layout]')
        self.layout: Layout = source.layout
        self._fields: dict[str, Column] = dict(self.layout.columns)
        if isinstance(self.layout.event_type, Column):
            self._fields["event_type"] = self.layout.event_type
        columns.check_patterns(self._fields.items())
        self._check_names()

    def columns(self) -> Mapping[str, Sequence[str]]:
        """The file's columns that carry type, time, money, ids, groups, or are `required`."""
        needed = {*_ESSENTIAL, "event_type", *self.layout.required, *self.layout.group_by}
        needed |= set(self.layout.id_fields)
        found = self._wanted(needed)
        for name in (*self.layout.required, *self.layout.group_by, *self.layout.id_fields):
            if name not in self._fields and name not in model.MONEY_FACTS:
                found[name] = (name,)
        return found

    def apart(self) -> Mapping[str, Sequence[str]]:
        """The columns of a derived id, where nothing else is one."""
        own = {"event_id", "native_id"} & set(self._fields)
        if own or self.layout.id_fields or self.layout.group_by:
            return {}
        return self._wanted(set(identity.DERIVED_ID_FIELDS))

    def _wanted(self, fields: set[str]) -> dict[str, Sequence[str]]:
        """First spelling of the columns of some fields, and all of them."""
        named = {f: columns.wanted_names(c) for f, c in self._fields.items() if f in fields}
        return {names[0]: names for names in named.values() if names}

    def together(self) -> tuple[str, ...]:
        """Columns of `group_by`, under every spelling that they may have in the file."""
        names: list[str] = []
        for name in self.layout.group_by:
            column = self._fields.get(name)
            names += [name] if column is None else columns.wanted_names(column)
        return tuple(names)

    def dialect(self, head: str) -> Dialect:
        """The declared notation; a format that is not declared is seen by its first character."""
        layout = self.layout
        return Dialect(
            format=layout.format or _format_of(head, layout.records),
            encoding=layout.encoding,
            delimiter=layout.delimiter,
            quote=layout.quote,
            skip_rows=layout.skip_rows,
            header=layout.header,
            footer_regex=layout.footer_regex,
            records=layout.records,
            reads=frozenset(normal_header(name) for name in self._names_read()),
        )

    def _names_read(self) -> list[str]:
        """Every spelling under which a declared field may stand in a header."""
        layout = self.layout
        names = [*layout.required, *layout.group_by, *layout.id_fields]
        for column in self._fields.values():
            names += [*column.names, *column.origin, *column.join]
        return names

    def mutable_fields(self) -> tuple[str, ...]:
        """Fields that this table may change in a later telling."""
        return self.layout.mutable

    def tell(self, records: pl.DataFrame, context: FeedContext) -> Told:
        """One event per row, or per group of rows."""
        header = Header(records)
        cells = self._cells(records, header)
        rows = with_group_keys(cells, self.layout)
        rows = amounts.read_types(rows, self.layout.event_type)
        rows, rounded = amounts.read_money(rows, self.layout)
        if self.layout.group_by:
            rows = put_together(rows, self.layout)
        rows = self._with_times(amounts.with_net(rows), context)
        rows = identity.with_ids(rows, self.layout)
        good = rows.filter(pl.col("code").is_null())
        missing = [f for f, c in self._fields.items() if not columns.is_present(c, header)]
        warnings = {f"the declared column of {f!r} is not in the file": 1 for f in missing}
        flipped = int(good["flipped"].sum())
        if flipped:
            warnings[amounts.FLIPPED] = flipped
        if rounded:
            warnings[ROUNDED] = rounded
        timeless = good.filter(pl.col("raw_ts").is_null(), pl.col("amount").is_not_null()).height
        if 0 < timeless < good.height and "event_ts" in self._fields:
            warnings[TIMELESS] = timeless
        sums = {"sums": control.sums_of(cells, self.layout)} if self.layout.control_regex else {}
        return Told(self._events(good), _problems(rows), warnings, sums)

    def finish(self, carry: Mapping[str, pl.DataFrame], context: FeedContext) -> Told:
        """Hold the file's own totals, where the layout finds them, against its rows."""
        told = control.check(
            context.file, self.layout, context.preamble, context.facts, carry["sums"]
        )
        return Told(told_frame(pl.DataFrame()), warnings=told)

    def _cells(self, records: pl.DataFrame, header: Header) -> pl.DataFrame:
        nulls = self.layout.nulls
        cells = {f: columns.cell(c, header, nulls) for f, c in self._fields.items()}
        for name in (*self.layout.group_by, *self.layout.id_fields):
            if name not in cells and name not in model.MONEY_FACTS:
                cells[name] = columns.cell(Column(names=(name,)), header, nulls)
        return columns.row_frame(records, cells).with_columns(
            pl.lit(1, dtype=pl.Int64).alias("records"),
            pl.lit(None, dtype=pl.String).alias("code"),
            pl.lit(None, dtype=pl.String).alias("column"),
        )

    def _with_times(self, rows: pl.DataFrame, context: FeedContext) -> pl.DataFrame:
        have = set(rows.columns)
        formats, named_zone = _formats(self.layout)
        text = pl.col("event_ts") if "event_ts" in have else pl.lit(None, dtype=pl.String)
        if "time" in have:
            text = pl.concat_str([text, "time"], separator=" ", ignore_nulls=True)
            text = pl.when(pl.col("event_ts").is_not_null()).then(text)
        raw = (
            pl.concat_str([text, "zone"], separator=" ", ignore_nulls=True)
            if "zone" in have
            else text
        )
        raw = pl.when(text.is_not_null()).then(raw)
        rows = rows.with_columns(text.alias("__time"), raw.alias("raw_ts"))
        zone = pl.col("zone") if "zone" in have else context.timezone
        checks = []
        for field, source, about in (
            ("instant", "__time", "event_ts"),
            ("told", "told_at", "told_at"),
        ):
            if source == "told_at" and source not in have:
                continue
            if rows[source].null_count() == rows.height:
                rows = rows.with_columns(_no_time().alias(field))
                continue
            rows = rows.with_columns(
                times.parse_times(
                    pl.col(source),
                    formats=formats,
                    zone=zone,
                    fallback_zone=context.timezone,
                    named_zone=named_zone,
                ).alias(field)
            )
            checks.append((pl.col(field).struct["code"], about))
        if "available_on" in have and rows["available_on"].null_count() < rows.height:
            rows = rows.with_columns(
                times.parse_dates(pl.col("available_on"), formats=formats).alias("available")
            )
            checks.append((pl.col("available").struct["code"], "available_on"))
        return amounts.first_problem(rows, checks)

    def _events(self, good: pl.DataFrame) -> pl.DataFrame:
        have = set(good.columns)
        plain = [
            f
            for f in ("channel", "partner_id", "payment_method", "trace_id", "description",
                      "business_key", *model.PERSONAL_FACTS)
            if f in have and f != "raw_personal"
        ]  # fmt: skip
        moment = pl.col("instant").struct
        chosen = [
            *(pl.col(f) for f in (*identity.OUT, *amounts.OUT, *plain, "raw_ts")),
            moment["ts"].alias("event_ts"),
            moment["tz_source"].alias("tz_source"),
            moment["precision"].alias("ts_precision"),
            pl.col(ROW),
            pl.col("records"),
        ]
        if "status" in have:
            chosen.append(_status(pl.col("status"), self.layout.status_map).alias("status"))
        if "available" in have:
            chosen.append(pl.col("available").struct["date"].alias("available_on"))
        if "told" in have:
            chosen.append(pl.col("told").struct["ts"].alias("told_at"))
        if "test" in have:
            words = pl.col("test").str.to_lowercase()
            chosen.append(
                words.replace_strict(_TEST_WORDS, default=None, return_dtype=pl.Boolean).alias(
                    "test"
                )
            )
        return told_frame(good.select(chosen))

    def _check_names(self) -> None:
        layout, known = self.layout, {*self._fields, *model.MONEY_FACTS}
        for name in layout.sum:
            if name not in amounts.MONEY:
                raise SettingsError(f"sum: {name!r} is no amount; {nearest(name, amounts.MONEY)}")
        personal = {f.removeprefix("raw_keys.") for f in self._fields if f.startswith("raw_keys.")}
        for name in layout.personal:
            if name not in personal:
                raise SettingsError(
                    f"personal: no raw key is called {name!r}; {nearest(name, personal)}"
                )
        needs = {"debit_credit": ("debit", "credit"), "indicator": ("amount", "direction")}
        for field in needs.get(layout.sign, ()):
            if field not in self._fields:
                raise SettingsError(
                    f'sign = "{layout.sign}" needs columns.{field}; declared are: '
                    f"{', '.join(sorted(known & set(self._fields)))}"
                )


def _format_of(head: str, records: str | None) -> Literal["csv", "json", "ndjson", "parquet"]:
    start = head.lstrip("\ufeff \t\r\n")
    if start.startswith("PAR1"):
        return "parquet"
    if start.startswith("["):
        return "json"
    if start.startswith("{"):
        first = start.split("\n", maxsplit=1)[0].rstrip()
        return "ndjson" if first.endswith("}") and not records else "json"
    return "csv"


def _formats(layout: Layout) -> tuple[tuple[str, ...], bool]:
    """Declared formats, and whether one of them ends in a zone's name (` %Z`)."""
    named = any(f.endswith("%Z") for f in layout.date_formats)
    declared = [f.removesuffix("%Z").rstrip() for f in layout.date_formats]
    if layout.format == "parquet" or not declared:
        # Only the reader's own ISO text of parquet needs no declaration.
        declared += [f for f in _ISO if layout.format == "parquet"]
    return tuple(dict.fromkeys(declared)), named


def _status(text: pl.Expr, status_map: Mapping[str, str]) -> pl.Expr:
    plain = text.str.to_lowercase().str.replace_all(r"[\s\-]+", "_")
    if not status_map:
        return plain
    folded = {normal_header(k): v for k, v in status_map.items()}
    key = text.str.to_lowercase().str.replace_all(r"[\s_]+", " ")
    return pl.coalesce(
        text.replace_strict(dict(status_map), default=None, return_dtype=pl.String),
        key.replace_strict(folded, default=None, return_dtype=pl.String),
        plain,
    )


def _no_time() -> pl.Expr:
    none = pl.lit(None, dtype=pl.String)
    return pl.struct(ts=pl.lit(None, dtype=model.UTC), precision=none, tz_source=none, code=none)


def _problems(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.filter(pl.col("code").is_not_null())
        .select(
            ROW,
            "records",
            "code",
            "column",
            pl.col("code").replace_strict(TABLE_PROBLEMS).alias("message"),
        )
        .cast(PROBLEM_SCHEMA)  # type: ignore[arg-type]
    )
