"""What a file is by its first bytes: everything that is no table of text, with the way out."""

from __future__ import annotations

import re

TABLE_PLEASE = "Ask for the data as CSV, JSON or parquet."
_UNPACK = "Unpack it and ingest the file inside."
# First bytes of files that are no table of text, with what they are and the way out.
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (XLS)", "Save it as CSV."),
    (b"%PDF", "a PDF document", TABLE_PLEASE),
    (b"{\\rtf", "a text document (RTF)", TABLE_PLEASE),
    (b"\x89PNG", "a picture (PNG)", TABLE_PLEASE),
    (b"\xff\xd8\xff", "a picture (JPEG)", TABLE_PLEASE),
    (b"GIF8", "a picture (GIF)", TABLE_PLEASE),
    (b"PAR1", "parquet", 'Declare format = "parquet".'),
    (b"ARROW1\x00\x00", "an Arrow file (Feather)", "Write it as parquet."),
    (b"Obj\x01", "an Avro file", "Write it as parquet."),
    (b"ORC\x08", "an ORC file", "Write it as parquet."),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (b"7z\xbc\xaf", "a 7-Zip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"SQLite format 3", "a SQLite database", "Export the table as CSV."),
    (b"version https://git-lfs.github.com/spec/", "a pointer of Git LFS and not the data",
     "Fetch the data with `git lfs pull`."),
    (b"OFXHEADER:", "a bank statement in OFX (QFX, QBO)", "Ask the bank for CSV."),
)  # fmt: skip
# A pickle can run whatever its author wished: it is named, and never opened.
_PICKLE = re.compile(rb"^\x80[\x02-\x05][\x95\x63\x7d\x5d\x28]", re.DOTALL)
_TAR_MARK, _TAR_AT = b"ustar", 257
_PAGE = "A page instead of data is often a login or an error page: export it again."
_BANK = "Ask the bank for CSV."
# The first tags; a transport header or some lines of the bank's own may stand above them.
_MT940 = (
    rb"((\{1:[A-Z0-9]+\}.{0,200})?|(:940:\r?\n|[^\r\n,;\t:]{0,60}\r?\n){0,4})"
    rb":20:[^\r\n]*\r?\n:(21|25):"
)
# Beginnings of texts that are no table, of which the first that fits is said.
_TEXTS: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), what, way)
    for pattern, what, way in (
        (rb"<(!doctype html|!--|(html|head|body|table|div|script|meta|title|form|p|h1)[\s>])",
         "a web page", _PAGE),
        (rb"(<\?xml[^>]{0,100}>\s*)?(<\?ofx|<ofx>|ofxheader:)",
         "a bank statement in OFX (QFX, QBO)", _BANK),
        (rb"<(\?xml|!doctype|document\s).{0,900}(iso:20022|<bktocstmr)",
         "XML (a bank statement in camt)", _BANK),
        (rb"<(\?xml|!doctype|document[\s>]|soap)", "XML", TABLE_PLEASE),
        (_MT940, "a bank statement in MT940", _BANK),
        (rb"01,[0-9A-Z]+,[0-9A-Z]+,[0-9]{6},[0-9:]{4,8},", "a bank statement in BAI2", _BANK),
        (rb"(From|Return-Path|Received|Delivered-To|Subject|MIME-Version): \S", "an e-mail",
         "Save its attachment and ingest that."),
    )
)  # fmt: skip
_BLANKS = b" \t\r\n\x0b\x0c\x00\xef\xbb\xbf"
ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
GZIP_MARK = b"\x1f\x8b"


def foreign(first: bytes, *, packed: bool) -> tuple[str, str] | None:
    """What the first bytes of a file are if they are no text of a table, and the way out.

    Args:
        first: its first bytes, unpacked.
        packed: whether they came out of an archive.
    """
    if first.startswith((GZIP_MARK, *ZIP_MARKS)) and packed:
        return "an archive inside an archive", "Unpack it once and try again."
    for magic, what, way in _MAGIC:
        if first.startswith(magic):
            return what, way
    if _PICKLE.match(first):
        return "a pickled Python object, which may run any code", TABLE_PLEASE
    if first[_TAR_AT : _TAR_AT + len(_TAR_MARK)] == _TAR_MARK:
        return "a tar archive", "Unpack it and ingest its files one by one."
    start = first.lstrip(_BLANKS)[:1024]
    return next(((what, way) for text, what, way in _TEXTS if text.match(start)), None)
