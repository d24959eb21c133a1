"""The strict reader: text only, every record accounted for, the same however a file is cut."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_kit.errors import FileRejectedError, SettingsError
from recon_kit.ingestion.feed import ROW, Dialect
from recon_kit.ingestion.lines import split_line
from recon_kit.ingestion.reader import Caps, open_records, read_head
from recon_kit.ingestion.stream import Stream


@pytest.fixture
def opened(tmp_path):
    """A function that writes bytes to a file and opens it as records."""

    def open_bytes(data, *, caps=None, together=(), name="file.csv", **dialect):
        path = tmp_path / name
        path.write_bytes(data)
        return open_records(path, Dialect(**dialect), caps=caps, keeps_together=together)

    return open_bytes


def rows_of(records):
    """All rows of all blocks, and the promise that every record is somewhere."""
    rows = [row for block in records.blocks() for row in block.rows()]
    assert records.physical == len(rows) + records.blank + records.bad.height
    return rows


def bad_of(records):
    """Row, code and raw line of what was set aside."""
    return records.bad.select(ROW, "code", "raw_line").rows()


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"a,b\n1,2\n3,4\n", [("1", "2", 1), ("3", "4", 2)]),
        (b"a,b\r\n1,2\r\n3,4\r\n", [("1", "2", 1), ("3", "4", 2)]),
        (b"a,b\r1,2\r3,4\r", [("1", "2", 1), ("3", "4", 2)]),
        (b"a,b\n1,2\r\n3,4\r5,6\n", [("1", "2", 1), ("3", "4", 2), ("5", "6", 3)]),
        (b'\xef\xbb\xbf"a",b\n001,1e5\n', [("001", "1e5", 1)]),
        (b'a,b\n"x, ""y""\nz",2\n', [('x, "y"\nz', "2", 1)]),
        (b"a,b\n,2\n", [(None, "2", 1)]),
        (b"a\n1\n\n2\n", [("1", 1), ("2", 3)]),
        (b"\n\na,b\n1,2\n", [("1", "2", 1)]),
        (b",\n,\n1,2\n", [("1", "2", 2)]),  # no column has a name
        (b'a,b\n1,5" pipe\n2,3\n', [("1", '5" pipe', 1), ("2", "3", 2)]),
        (b'a,b\n1,5" pipe\n2,6" pipe\n', [("1", '5" pipe', 1), ("2", '6" pipe', 2)]),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), [("1", "2", 1)]),
    ],
)
def test_a_table_is_read_as_text(opened, data, rows):
    """Cells come as the text they are, numbered by record."""
    records = opened(data)

    assert rows == rows_of(records)
    assert records.bad.is_empty()


@pytest.mark.parametrize(
    ("data", "rows", "bad"),
    [
        (b"a,b\n1,2\n3\n4,5\n", [("1", "2", 1), ("4", "5", 3)], [(2, "row_short", "3")]),
        (b"a,b\n1,2,3\n4,5\n", [("4", "5", 2)], [(1, "row_long", "1,2,3")]),
        (b"a,b\n1,2,3\n4\n5,6\n", [("5", "6", 3)],
         [(1, "row_long", "1,2,3"), (2, "row_short", "4")]),
        (b'a,b\n1,"x\n2,y\n3,z\n', [("2", "y", 2), ("3", "z", 3)],
         [(1, "quote_unterminated", '1,"x')]),
        (b'a,b\n1,"x"y\n2,3\n', [("2", "3", 2)], [(1, "quote_misplaced", '1,"x"y')]),
        (b"a,b\n1,\x00\n2,3\n", [("2", "3", 2)], [(1, "row_nul", "1,\x00")]),
        (b'a,b\n1,2\n"3,4', [("1", "2", 1)], [(2, "row_truncated", '"3,4')]),
        (b"a,b\n1,2\n3", [("1", "2", 1)], [(2, "row_truncated", "3")]),
        (b"a,b\n1,2\n3,\xc3", [("1", "2", 1)], [(2, "row_truncated", "3,\ufffd")]),
        (b'a,b\n"1\n1",2\n3,"4\n5",6\n7,8\n', [("1\n1", "2", 1), ("7", "8", 3)],
         [(2, "row_long", '3,"4\n5",6')]),
    ],
)  # fmt: skip
def test_a_bad_row_costs_itself_and_no_other(opened, data, rows, bad):
    """Rows that are no records are set aside with their raw line; the rest comes through."""
    records = opened(data)

    assert rows == rows_of(records)
    assert bad == bad_of(records)
    assert {row: raw for row, _, raw in bad} == records.raw_lines([row for row, _, _ in bad])


def test_the_end_of_a_broken_cell_is_no_row(opened):
    """The line on which an unclosed text seems to end is set aside as well, not read as a row."""
    records = opened(b'a,b\n1,"x 5" pipe\nthe rest",2\n3,4\n')

    assert rows_of(records) == [("3", "4", 3)]
    assert records.bad["code"].to_list() == ["quote_misplaced", "quote_misplaced"]


def test_what_says_nothing_is_counted(opened):
    """Blank rows, declared footers and a repeated header are counted and come in no block."""
    data = b"t1\nt2\na,b\n1,2\n\n,\n  , \na,b\n3,4\nTotal,6\nTotals: 2 rows\n"
    records = opened(data, skip_rows=2, footer_regex=r"^Total")

    assert rows_of(records) == [("1", "2", 1), ("3", "4", 6)]
    assert (records.physical, records.blank) == (8, 6)
    assert records.preamble == ("t1", "t2")
    expected = {"the header stands again among the rows (files put together?)": 1}
    assert expected == records.warnings


def test_warnings_of_a_whole_file(opened):
    """No final line end, and a header without rows, are said."""
    cut, empty = opened(b"a,b\n1,2"), opened(b"a,b\n", name="empty.csv")
    rows_of(cut)
    rows_of(empty)

    assert cut.warnings == {"the last row has no line end": 1}
    assert empty.warnings == {"the file has a header and no rows": 1}


def test_a_sep_line_names_the_delimiter(opened):
    """Excel's `sep=;` is a declaration of the file itself."""
    assert rows_of(opened(b"sep=;\r\na;b\r\n1;2\r\n")) == [("1", "2", 1)]


def test_a_header_keeps_its_spelling(opened):
    """Names stay as printed; nameless columns get their number; our own row number wins."""
    records = opened(b' a ,"b ""c""",,record_row\n1,2,3,4\n')

    assert records.header == ("a", 'b "c"', "column_3", "record_row of the file")


def test_groups_are_never_cut(opened):
    """Adjacent rows with equal or blank values of a declared column share a block."""
    data = b"k,v\n1,a\n,b\n2,c\n2,d\n3,e\n"
    records = opened(data, caps=Caps(block_rows=2), together=("K",))

    blocks = [block["v"].to_list() for block in records.blocks()]
    assert blocks == [["a", "b"], ["c", "d"], ["e"]]


def test_a_long_row_is_set_aside(opened):
    """A row beyond the cap costs itself."""
    records = opened(b"a,b\n" + b"x" * 99 + b",1\n2,3\n", caps=Caps(row_bytes_max=50))

    assert rows_of(records) == [("2", "3", 2)]
    assert records.bad["code"].to_list() == ["row_too_long"]


def test_an_endless_quote_does_not_swallow_the_file(opened):
    """An unclosed quote is given up after the longest row, not at the end of the file."""
    rows = b"".join(b"%d,y\n" % n for n in range(2, 500))
    records = opened(b'a,b\n1,"x\n' + rows, caps=Caps(row_bytes_max=200, chunk_bytes=512))

    assert len(rows_of(records)) == 498
    assert bad_of(records) == [(1, "quote_unterminated", '1,"x')]


CELLS = st.text(alphabet="ab ,\"\n'é€;0", max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=30),
    st.sampled_from([7, 64, 100_000]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_is_read_however_it_is_cut(tmp_path_factory, table, chunk, ending):
    """Any table written by the standard writer comes back, at any chunk size."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerow(["x", "y", "z"])
    writer.writerows([("k" + a, b, c) for a, b, c in table])
    path = tmp_path_factory.mktemp("cut") / "t.csv"
    path.write_bytes(text.getvalue().encode())
    records = open_records(path, Dialect(), caps=Caps(chunk_bytes=chunk, block_rows=4))

    got = [(a, b or "", c or "") for a, b, c, _ in rows_of(records)]
    assert [("k" + a, b, c) for a, b, c in table] == got


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='a1,"\n\r;', max_size=60), st.sampled_from([5, 17, 100_000]), st.booleans())
def test_any_bytes_tie(tmp_path_factory, body, chunk, ends):
    """Whatever stands in a file: every record is a row, a blank or set aside, at any chunk size."""
    path = tmp_path_factory.mktemp("tie") / "t.csv"
    path.write_bytes(b"x,y\n" + body.encode() + (b"\n" if ends else b""))
    whole = open_records(path, Dialect())
    rows_of(whole)
    cut = open_records(path, Dialect(), caps=Caps(chunk_bytes=chunk, block_rows=3))

    assert len(rows_of(cut)) + cut.blank + cut.bad.height == cut.physical
    assert whole.bad["record_row"].to_list() == sorted(whole.raw_lines(whole.bad["record_row"]))


@pytest.mark.parametrize(
    ("line", "fields", "state"),
    [
        ("a,b", ["a", "b"], "ok"),
        ('a,"b,c"', ["a", "b,c"], "ok"),
        ('a,""', ["a", ""], "ok"),
        ("a,", ["a", None], "ok"),
        ('a,b"c', ["a", 'b"c'], "stray"),
        ('a,"b', ["a"], "open"),
        ('a,"b"c', ["a"], "junk"),
    ],
)
def test_one_line_is_split_like_the_standard_says(line, fields, state):
    """Quotes open at the start of a field only."""
    assert (fields, state) == split_line(line, ",", '"')


def test_ndjson_keeps_every_digit(opened):
    """Numbers are the text of the file; nesting becomes dotted names; a cut line is set aside."""
    data = b'{"id":9007199254740993,"p":{"v":1.10}}\n\n{"id":"b","l":[1,"x"]}\n{"id":"c","l":tr'
    records = opened(data, format="ndjson")

    expected = [("9007199254740993", "1.10", None, 1), ("b", None, '[1,"x"]', 3)]
    assert expected == rows_of(records)
    assert bad_of(records) == [(4, "json_truncated", '{"id":"c","l":tr')]
    assert records.raw_lines([3]) == {3: '{"id":"b","l":[1,"x"]}'}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"a":1,"a":2}', "json_duplicate_key"),
        (b'{"a.b":1,"a":{"b":2}}', "json_duplicate_key"),
        (b'{"a":NaN}', "json_not_a_number"),
        (b'{"a":-Infinity}', "json_not_a_number"),
        (b"[1]", "json_not_object"),
        (b"{a:1}", "json_unreadable"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "json_too_deep"),
        (b"[" * 100_000, "json_too_deep"),
    ],
)
def test_a_bad_json_line_is_set_aside(opened, line, code):
    """What JSON leaves open is refused row by row."""
    records = opened(b'{"a":0}\n' + line + b"\n", format="ndjson")

    assert rows_of(records) == [("0", 1)]
    assert [code] == records.bad["code"].to_list()


def test_a_json_list_is_found_by_its_path(opened):
    """A declared path leads to the list; a lone object is one record."""
    data = b'{"data":{"items":[{"a":1.0},{"b":true}]}}'
    listed = opened(data, format="json", records="data.items")
    single = opened(b'{"id":"#1","lines":[{"q":1}]}', format="json", name="one.json")

    assert rows_of(listed) == [("1.0", None, 1), (None, "true", 2)]
    assert rows_of(single) == [("#1", '[{"q":1}]', 1)]


@pytest.mark.parametrize(
    ("data", "records", "message"),
    [
        (b'{"a":1,"a":1}', None, "names a key twice"),
        (b"[" * 100_000, None, "nested more than"),
        (b'{"a":[]}', "b", "nothing stands at 'b' .there is: a."),
        (b'{"a":1}', "a", "no list of objects stands at 'a'"),
        (b'[{"a":1}', None, "the file is not JSON"),
    ],
)
def test_a_bad_json_document_is_refused(opened, data, records, message):
    """A document that is not what was declared is refused as a whole."""
    with pytest.raises(FileRejectedError, match=message):
        opened(data, format="json", records=records)


def test_parquet_becomes_exact_text(tmp_path):
    """Floats enter by their shortest text, times as ISO, nothing is rounded."""
    frame = pl.DataFrame(
        {
            "i": [2**60, None],
            "f": [0.1, 1e22],
            "t": [datetime(2026, 1, 2, 3, 4, 5), datetime(2026, 1, 2, 3, 4, 5, 600)],  # noqa: DTZ001 - a file without zone
            "d": [date(2026, 1, 1), None],
            "l": [[1], None],
            "b": [True, False],
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    records = open_records(tmp_path / "t.parquet", Dialect(format="parquet"))

    expected = [
        ("1152921504606846976", "0.1", "2026-01-02T03:04:05", "2026-01-01", "[1]", "true", 1),
        (None, "1" + "0" * 22, "2026-01-02T03:04:05.000600", None, None, "false", 2),
    ]
    assert expected == rows_of(records)
    assert records.raw_lines([2])[2].startswith('{"i":null,"f":"1000')


def test_a_cut_parquet_is_refused(tmp_path):
    """A parquet file without its foot is damaged, not empty."""
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-20])

    with pytest.raises(FileRejectedError, match="damaged"):
        open_records(tmp_path / "cut.parquet", Dialect(format="parquet"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "cp1252", "shift_jis"])
def test_declared_encodings_are_read(opened, encoding):
    """Text in a declared encoding is the same text."""
    word = "日本" if encoding == "shift_jis" else "é"
    data = f"a,b\n{word},2\n".encode(encoding)

    assert [(word, "2", 1)] == rows_of(opened(data, encoding=encoding))


def test_an_unknown_encoding_names_the_nearest(opened):
    """A typing error in the encoding is an error of the settings."""
    with pytest.raises(SettingsError, match="encoding 'utf-61' is not read; did you mean 'utf-16'"):
        opened(b"a\n1\n", encoding="utf-61")


def test_a_head_is_text_in_any_case(tmp_path):
    """A feed that looks at the head gets text, without marks."""
    for number, data in enumerate((b"\xef\xbb\xbfa,b\n", "a,b\n".encode("utf-16"))):
        path = tmp_path / str(number)
        path.write_bytes(data)
        assert read_head(path) == "a,b\n"


def test_an_invalid_byte_is_named_by_its_place_in_the_file(tmp_path):
    """The offset counts from the first byte of the file, also behind a byte order mark."""
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\n1,\xff\n")

    with pytest.raises(FileRejectedError, match="byte 9 is not UTF-8"):
        list(open_records(path, Dialect()).blocks())
    assert path.read_bytes().index(b"\xff") == 9
    assert Stream(path, "utf-8", Caps()).name == "t.csv"
