"""Indicators as a report needs them: the trend of the match rate, and all of them side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from recon_kit.errors import listed
from recon_kit.present import tables
from recon_kit.present.base import About, FrameView, about_line
from recon_kit.present.lists import sli_values
from recon_kit.present.tables import Column
from recon_kit.safe import prose_html
from recon_kit.sli.definitions import DEFINITIONS

_WEEK = r"^[0-9]{4}-W[0-9]{2}$"
_PLACES = {d.name: place for place, d in enumerate(DEFINITIONS)}


def weekly_shares(slis: pl.DataFrame, last_week: str, weeks: int = 12) -> pl.DataFrame:
    """The trend that the report draws, out of SLI rows.

    Args:
        slis: `model.SLI_SCHEMA`; `match_rate` by week and `match_rate_money` by week and currency.
        last_week: the report's week; later ones are left out.
        weeks: how many weeks to keep.

    Returns:
        `reconciliation, currency, week, measure, share, mature`, oldest first. A week that is not
        mature has no value yet; its share so far is drawn as not mature.
    """
    is_week = pl.col("cohort").str.contains(_WEEK)
    rates = slis.filter(
        pl.col("name").is_in(["match_rate", "match_rate_money"])
        & is_week
        & (pl.col("cohort") <= last_week)
        & (pl.col("denominator") > 0)
    )
    kept = rates["cohort"].unique().sort().tail(weeks)
    return (
        rates.filter(pl.col("cohort").is_in(kept.implode()))
        .select(
            "reconciliation",
            "currency",
            week=pl.col("cohort"),
            measure=pl.when(pl.col("name") == "match_rate")
            .then(pl.lit("by count"))
            .otherwise(pl.lit("by money")),
            share=pl.col("numerator") / pl.col("denominator"),
            mature=pl.col("value").is_not_null(),
        )
        .sort("reconciliation", "measure", "currency", "week", maintain_order=True)
    )


def shares_of_due(weekly: pl.DataFrame, boards: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The trend with immature weeks counted as the headline counts: of what is due so far.

    What is still in flight would otherwise make every newest week look like a fall.

    Args:
        weekly: as `weekly_shares` returns it.
        boards: `summary.scoreboard` of each immature week, by its name.
    """
    keys = ["reconciliation", "currency", "week", "measure"]
    told = [
        part.with_columns(pl.lit(week).alias("week")).select(*keys, "due_share")
        for week, board in boards.items()
        for part in (
            board.group_by("reconciliation")
            .agg(due_share=pl.col("matched").sum() / pl.col("due").sum())
            .with_columns(
                pl.lit(None, dtype=pl.String).alias("currency"), pl.lit("by count").alias("measure")
            ),
            board.select(
                "reconciliation", "currency", due_share="matched_share_money"
            ).with_columns(pl.lit("by money").alias("measure")),
        )
    ]
    if not told:
        return weekly
    joined = weekly.join(
        pl.concat(told), on=keys, how="left", nulls_equal=True, maintain_order="left"
    )
    so_far = pl.col("due_share").fill_nan(None)
    share = pl.when("mature").then("share").otherwise(so_far)
    return joined.with_columns(share=share).drop("due_share")


def condensed(slis: pl.DataFrame, currency: str | None) -> pl.DataFrame:
    """The indicators that fit on half a page.

    Kept are one currency, the source that has been silent longest, and of single weeks the match
    rate only; every row stays in the SLIs themselves.

    Args:
        slis: `model.SLI_SCHEMA`.
        currency: the currency to keep; all where none is given or a reconciliation has no such.
    """
    own = pl.col("currency").eq_missing(pl.lit(currency)) & pl.col("currency").is_not_null()
    in_currency = pl.col("currency").is_null() | own
    has = own.any().over("reconciliation", "name")
    is_week = pl.col("cohort").str.contains(_WEEK)
    kept = slis.filter(
        in_currency | ~has,
        ~is_week | pl.col("name").str.starts_with("match_rate"),
    )
    is_feed = pl.col("name") == "feed_freshness"
    silent = (
        kept.filter(is_feed)
        .sort("reconciliation", "value", "cohort", descending=[False, True, False],
              nulls_last=False)
        .unique("reconciliation", keep="first", maintain_order=True)
        .with_columns(cohort=pl.lit("longest silent source"))
    )  # fmt: skip
    return pl.concat([kept.filter(~is_feed), silent])


def sli_matrix(
    slis: pl.DataFrame, week: str, reconciliations: Sequence[str]
) -> tuple[pl.DataFrame, list[str]]:
    """SLI rows as a table: an indicator a row, a reconciliation a column.

    Args:
        slis: `model.SLI_SCHEMA`.
        week: the report's week; other weeks are left out, as is the week's share by money, which
            has a row per currency once the week is mature.
        reconciliations: the order of the columns; others follow.

    Returns:
        The table with the column `indicator`, and sentences on what is unknown.
    """
    of_rate, cohort = pl.col("name").str.starts_with("match_rate"), pl.col("cohort")
    is_week = cohort == week
    told = sli_values(slis).filter(
        ~cohort.str.contains(r"^([0-9]{4}-W[0-9]{2}|undated)$")
        | (is_week & ((pl.col("name") == "match_rate") | pl.col("value").is_not_null()))
    )
    # by what is measured, so that a row which only a later reconciliation has stands among its kind
    place = pl.col("name").replace_strict(_PLACES, default=len(_PLACES), return_dtype=pl.Int64)
    told = told.sort(place, "cohort", "currency", nulls_last=True, maintain_order=True)
    where = (
        pl.when(of_rate & (cohort == "all"))
        .then(pl.lit(", all mature weeks"))
        .when(cohort != "all")
        .then(", " + cohort)
        .otherwise(pl.lit(""))
    )
    counted = pl.concat_str(pl.lit(" ("), "part", pl.lit(" of "), "whole", pl.lit(")"))
    by_count = (pl.col("unit") == "share") & pl.col("currency").is_null()
    told = told.select(
        "reconciliation",
        "note",
        known=pl.col("value").is_not_null(),
        indicator=pl.concat_str("label", where, pl.coalesce(", " + pl.col("currency"), pl.lit(""))),
        cell=pl.col("shown")
        + pl.when(by_count & pl.col("value").is_not_null())
        .then(pl.coalesce(counted, pl.lit("")))
        .otherwise(pl.lit("")),
    )
    matrix = told.pivot(
        on="reconciliation", index="indicator", values="cell", aggregate_function="first",
        maintain_order=True,
    )  # fmt: skip
    present = [name for name in reconciliations if name in matrix.columns]
    others = [n for n in matrix.columns if n not in {"indicator", *present}]
    return matrix.select("indicator", *present, *others), _unknown(told, [*present, *others])


def _unknown(told: pl.DataFrame, reconciliations: Sequence[str]) -> list[str]:
    """Why an indicator is unknown, and where, unless it is so everywhere for one reason.

    Args:
        told: `indicator, reconciliation, known, note`.
        reconciliations: in their order.
    """
    sentences = []
    for indicator, rows in told.sort("indicator").group_by("indicator", maintain_order=True):
        why = dict(rows.filter(~pl.col("known")).select("reconciliation", "note").iter_rows())
        where: dict[str, list[str]] = {}
        for name in reconciliations:
            if why.get(name):
                where.setdefault(why[name], []).append(name.replace("_", " "))
        everywhere = len(where) == 1 and len(why) == rows["reconciliation"].n_unique()
        parts = [f"in {listed(names)}: {note}" for note, names in where.items()]
        said = f": {next(iter(where))}" if everywhere else f" {'; '.join(parts)}"
        if where:
            sentences.append(f"{indicator[0]} is unknown{said}.")
    return sentences


@dataclass(frozen=True, repr=False)
class SliView(FrameView):
    """Measured rates with what they count.

    Columns of `frame`: `model.SLI_SCHEMA`, every week. Shown are the newest week that is mature
    and everything that is not weekly, a reconciliation in each column.
    """

    frame: pl.DataFrame
    about: About

    @property
    def title(self) -> str:
        """What the table holds."""
        return "Service level indicators"

    @property
    def week(self) -> str:
        """The newest mature week, else the newest one, else nothing."""
        weeks = self.frame.filter(
            pl.col("name") == "match_rate", pl.col("cohort").str.contains(_WEEK)
        ).sort("cohort")
        mature = weeks.drop_nulls("value")
        rows = weeks if mature.is_empty() else mature
        return "" if rows.is_empty() else str(rows["cohort"][-1])

    def columns(self) -> Sequence[Column]:
        """The indicator, then each reconciliation."""
        return matrix_columns(self._matrix()[0])

    def html(self) -> str:
        """The indicators side by side, and why some are unknown."""
        matrix, notes = self._matrix()
        body = tables.html(matrix, matrix_columns(matrix), caption=self.title, rows_max=200)
        below = f'<p class="rk-note">{prose_html(" ".join(notes))}</p>' if notes else ""
        return f'<section class="rk">{body}{below}{about_line(self.about)}</section>'

    def text(self) -> str:
        """The same as plain text."""
        matrix, notes = self._matrix()
        body = tables.plain(matrix, matrix_columns(matrix), rows_max=200)
        return "\n".join([self.title, body, *notes, self.about.line()])

    def _matrix(self) -> tuple[pl.DataFrame, list[str]]:
        return sli_matrix(self.frame, self.week, list(self.about.runs))


def matrix_columns(matrix: pl.DataFrame) -> Sequence[Column]:
    """How a matrix of indicators is shown."""
    named = [Column(n, n.replace("_", " ").capitalize(), "figure") for n in matrix.columns[1:]]
    return (Column("indicator", "Indicator"), *named)
