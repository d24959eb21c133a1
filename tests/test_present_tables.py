"""Tables: what people read, escaped and exact."""

from __future__ import annotations

import polars as pl
import pytest

from recon_kit.present import show, tables
from recon_kit.present.tables import Column

SCRIPT = "</td><script>window.hit=1</script>"


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (123_450, "EUR", "1,234.50"),
        (-5, "EUR", "-0.05"),
        (0, "USD", "0.00"),
        (1_234_567, "JPY", "1,234,567"),
        (-1_234_567_890, "BHD", "-1,234,567.890"),
        (9_223_372_036_854_775_807, "USD", "92,233,720,368,547,758.07"),
        (None, "EUR", None),
    ],
)
def test_money_is_exact_and_grouped(minor, currency, text):
    """Minor units become decimal text with the currency's decimals and grouped thousands."""
    frame = pl.DataFrame({"m": [minor], "c": [currency]}, schema={"m": pl.Int64, "c": pl.String})

    assert text == frame.select(tables.money_text(pl.col("m"), pl.col("c"))).item()


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "100.0 %"),
        (0.99999, ">99.9 %"),
        (0.9412, "94.1 %"),
        (0.0, "0.0 %"),
        (0.00001, "<0.1 %"),
        (None, None),
    ],
)
def test_a_share_never_rounds_up_to_all_or_down_to_nothing(share, text):
    """100.0 % and 0.0 % are printed only where they are exactly so."""
    assert text == pl.select(tables.share_text(pl.lit(share, dtype=pl.Float64))).item()


def test_one_currency_stands_in_the_header():
    """A table of one currency names it once, in the header."""
    frame = pl.DataFrame({"id": ["a"], "m": [100], "currency": ["EUR"]})

    shown = tables.plain(frame, [Column("id", "Id"), Column("m", "Amount", "money")])

    assert shown == "Id  Amount (EUR)\n--  ------------\na           1.00"


def test_several_currencies_stand_beside_their_amounts():
    """Amounts of several currencies keep cells of their own, so that they can be pasted."""
    frame = pl.DataFrame({"id": ["a", "b"], "m": [100, 2500], "currency": ["EUR", "JPY"]})

    written = tables.written(frame, [Column("id", "Id"), Column("m", "Amount", "money")])

    assert written.labels == ("Id", "Amount", "Currency")
    assert written.cells.rows() == [("a", "1.00", "EUR"), ("b", "2,500", "JPY")]


def test_html_escapes_cells_labels_and_captions():
    """A script in a cell, a header or a caption is text."""
    frame = pl.DataFrame({"id": [SCRIPT]})

    page = tables.html(frame, [Column("id", SCRIPT)], caption=SCRIPT)

    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 3
    assert show.forbidden(page) is None


def test_headers_have_scope_and_the_table_a_caption():
    """Screen readers learn which header a cell belongs to, and what the table says."""
    page = tables.html(pl.DataFrame({"id": ["a"], "n": [1]}), COLUMNS, caption="Things")

    assert page.count('scope="col"') == 2
    assert page.count('scope="row"') == 1
    assert "<caption>Things</caption>" in page
    assert 'aria-label="Things"' in page


COLUMNS = (Column("id", "Id"), Column("n", "Number", "count"))


def test_personal_columns_are_masked_by_name():
    """A personal field is masked in every table, whoever built the frame."""
    frame = pl.DataFrame({"id": ["1"], "email": ["ana.diaz@example.com"]})
    columns = [Column("id", "Id"), Column("email", "E-mail")]

    assert "ana.diaz" not in tables.plain(frame, columns)
    assert "a***@example.com" in tables.html(frame, columns, caption="Who")


def test_a_name_may_be_broken_and_is_copied_whole():
    """A narrow page breaks names after underscores, at a mark that is no character; ids never."""
    frame = pl.DataFrame({"id": ["txn_1"], "owner": ["marketing_ops"]})
    columns = [Column("id", "Id", "code"), Column("owner", "Owner")]

    page = tables.html(frame, columns, caption="Whose")

    assert "marketing_<wbr>ops" in page
    assert ">txn_1<" in page
    assert "\u200b" not in page
    assert show.forbidden(page) is None


def test_long_tables_say_how_much_is_shown():
    """A cut table tells how many rows there are in all, and where they are."""
    frame = pl.DataFrame({"id": [str(i) for i in range(1500)], "n": range(1500)})

    plain = tables.plain(frame, COLUMNS)
    page = tables.html(frame, COLUMNS, caption="Many", more=tables.IN_FRAME)

    assert plain.endswith("\n... 20 of 1,500 rows; `.frame` has them all")
    assert "20 of 1,500 rows shown; <code>.frame</code> has them all.</p>" in page
    assert "20 of 1,500 rows shown.</p>" in tables.html(frame, COLUMNS, caption="Many")


def test_a_terminal_shows_as_many_rows_as_somebody_asked_for():
    """A table obeys the command line, and its last line names the command that shows every row."""
    frame = pl.DataFrame({"id": [str(i) for i in range(30)], "n": range(30)})

    with tables.asked_rows(2, "recon queue --all"):
        two = tables.plain(frame, COLUMNS)
    with tables.asked_rows(10**9, "recon queue --all"):
        every = tables.plain(frame, COLUMNS)

    assert two.splitlines()[2:] == [
        "0        0",
        "1        1",
        "... 2 of 30 rows; all of them: `recon queue --all`",
    ]
    assert len(every.splitlines()) == 2 + 30


def test_the_last_column_of_a_plain_table_is_never_cut():
    """A long sentence at the end of a row is told whole; elsewhere it would push others aside."""
    said = "Find the left side's record of this money, or declare that it has no counterpart."
    columns = (Column("a", "Why"), Column("b", "What to do"))

    row = tables.plain(pl.DataFrame({"a": [said], "b": [said]}), columns).splitlines()[2]

    assert row == f"{said[:75]}…  {said}"


def test_an_empty_table_says_none():
    """Nothing to show is said in words."""
    empty = pl.DataFrame(schema={"id": pl.String, "n": pl.Int64})

    assert tables.plain(empty, COLUMNS) == "(none)"
    assert "Things: none." in tables.html(empty, COLUMNS, caption="Things")
