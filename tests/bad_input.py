"""The catalogue of bad input: what comes in, and what the product must answer.

Each row is a file as it reached somebody, cut down to what is wrong with it. `refused` files
commit nothing; of `set_aside` files the named rows go to the quarantine and the others on;
`warned` files are taken with a remark; `read` files are taken as if nothing were wrong; `again`
files bring what an earlier file already told. `CATALOGUE` and `QUIRKS` name what each number is
about, `HELD` the tests elsewhere that hold what is no matter of one file.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from recon_kit.settings import Layout, Source

HEAD = "id,at,amount,cur,order\n"
ROW1 = "p1,2026-11-05 10:00:00,10.00,EUR,#1\n"
ROW2 = "p2,2026-11-06 10:00:00,20.00,EUR,#2\n"
LAYOUT: dict[str, Any] = {
    "event_type": "payment",
    "timezone": "America/New_York",
    "date_formats": ["%Y-%m-%d %H:%M:%S"],
    "columns": {
        "native_id": "id", "event_ts": "at", "amount": "amount", "currency": "cur",
        "order_id": "order",
    },
}  # fmt: skip
SHOP = Source(name="shop", feed="shopify.orders_csv")
STRIPE = Source(
    name="stripe", feed="stripe.payout_reconciliation", options={"derive_payouts": False}
)
ADS = Source(name="ads", feed="google_ads.offline_conversions", timezone="UTC")


@dataclass(frozen=True)
class Case:
    """One row of the catalogue."""

    number: int | str  # of the catalogue, or "quirk N"
    what: str
    file: bytes
    answer: str
    says: str = ""  # a part of the message, or of the warning
    code: str = ""  # of the rows that are set aside
    events: int = 0
    told: Mapping[str, object] = field(default_factory=dict)  # fields of the last event
    layout: Mapping[str, Any] = field(default_factory=dict)  # what differs from LAYOUT
    source: Source | None = None  # another feed than a table
    before: tuple[bytes, ...] = ()  # files of the same source that came earlier
    counts: tuple[int, ...] = ()  # physical, accepted, duplicate, conflict, quarantined, blank

    @property
    def id(self) -> str:
        """How a test names it."""
        return f"{self.number} {self.what}"

    def named_source(self, name: str) -> Source:
        """The source that the file comes from, under a name of its own."""
        if self.source is not None:
            return self.source.model_copy(update={"name": name})
        return Source(name=name, feed="table", layout=Layout.model_validate(LAYOUT | self.layout))


def refused(number, what, file, code, says, **more):
    """The whole file is refused, with this code and this text."""
    return Case(number, what, file, "refused", says=says, code=code, **more)


def set_aside(number, what, file, code, says, *, events=1, **more):
    """One row is quarantined with this code and text; so many events are told by the others."""
    return Case(number, what, file, "set aside", says=says, code=code, events=events, **more)


def warned(number, what, file, says, events=1, **more):
    """The file is taken, and its receipt remarks this."""
    return Case(number, what, file, "warned", says=says, events=events, **more)


def read(number, what, file, events=1, told=None, **more):
    """The file is taken without a word; its last event says this."""
    return Case(number, what, file, "read", events=events, told=told or {}, **more)


def again(number, what, file, before, counts, **more):
    """After the files before it, this one's records end in these counts."""
    return Case(number, what, file, "again", before=before, counts=counts, **more)


def table(*rows, head=HEAD):
    """Bytes of a file with the usual header."""
    return (head + "".join(rows)).encode()


def row(**cells):
    """One good row with some cells changed."""
    base = {"id": "p9", "at": "2026-11-07 10:00:00", "amount": "1.00", "cur": "EUR", "order": "#9"}
    return ",".join((base | cells).values()) + "\n"


def cell(amount, **more):
    """A good row and one with this amount."""
    return table(ROW1, row(amount=f'"{amount}"', **more))


def at(time):
    """A good row and one of this time."""
    return table(ROW1, row(at=f'"{time}"'))


def shop(*rows):
    """An orders export with few columns."""
    head = "Name,Financial Status,Created at,Currency,Total,Refunded Amount,Id,Cancelled at,Notes\n"
    return (head + "".join(rows)).encode()


def stripe(*rows):
    """An itemised report with few columns."""
    head = (
        "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,"
        "charge_id,customer_facing_amount,customer_facing_currency\n"
    )
    return (head + "".join(rows)).encode()


def ads(*rows, above=""):
    """Offline conversions."""
    head = "Google Click ID,Conversion Name,Conversion Time,Conversion Value,Conversion Currency\n"
    return (above + head + "".join(rows)).encode()


def parquet(**columns):
    """A parquet file of these columns."""
    out = io.BytesIO()
    pl.DataFrame(columns).write_parquet(out)
    return out.getvalue()


def zipped(*names, data=b"id\n1\n"):
    """A zip archive with members of these names."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, data)
    return out.getvalue()


def locked():
    """A zip archive whose member is marked as encrypted."""
    data = bytearray(zipped("a.csv", data=table(ROW1)))
    data[6] |= 1  # the flag in the member's own header
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # and in the directory
    return bytes(data)


def flipped(data, place):
    """One bit of a file turned over."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


ORDER = "#1001,paid,2026-11-05 10:00:00 +0100,EUR,100.00,0.00,5001,,\n"
CHARGE = "txn_1,2026-11-05 10:00:00,eur,10.00,0.59,9.41,charge,ch_1,ch_1,,\n"
REFUND = "txn_2,2026-11-06 10:00:00,eur,-4.00,0.00,-4.00,refund,re_1,ch_1,,\n"
CLICK = "CjwK,Purchase,2026-11-05 10:00:00,10.00,EUR\n"
MANY = HEAD.encode() + ROW1.encode() * 600_000
NDJSON = b'{"id":"p1","at":"2026-11-05 10:00:00","amount":1.00,"cur":"EUR"}\n'
CAMT = b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"/>'
TAR = b"a.csv".ljust(257, b"\0") + b"ustar\x0000" + b"\0" * 247 + table(ROW1)
CONTROL = {"footer_regex": "^TOTAL", "control_regex": r"^TOTAL,(?P<records>\d+),(?P<amount>[^,]+)"}

CATALOGUE: dict[int, str] = {
    1: "nothing in the file", 2: "a header and no row", 3: "no file where one is due",
    4: "a byte order mark", 5: "UTF-16", 6: "bytes that are not of the declared encoding",
    7: "NUL characters", 8: "lines that end in CR alone", 9: "line ends of several kinds",
    10: "the end of the file is missing", 11: "the file's own total does not tie",
    12: "the file is still being written", 13: "the same file again",
    14: "the same content under another name", 15: "the same name with other content",
    16: "a damaged archive", 17: "an archive that unpacks to far too much",
    18: "an archive of several files or with a path that leads out",
    19: "an archive that asks for a password", 20: "an ending that lies",
    21: "XML with a DOCTYPE", 22: "XML of another format or version",
    23: "a workbook with serial dates and merged cells", 24: "a link, or a path from elsewhere",
    25: "no permission to read", 26: "the disk is full", 27: "a file of another year",
    28: "a needed column is missing", 29: "a column too many", 30: "columns in another order",
    31: "a column named twice", 32: "the header in other letters and spaces",
    33: "a column was renamed", 34: "another delimiter", 35: "a column changed its type",
    36: "a row too short", 37: "a row too long", 38: "a quote that never closes",
    39: "a line end inside a cell", 40: "blank rows", 41: "a cell far too long",
    42: "no event id", 43: "no order id", 44: "ids that mean nothing", 45: "leading zeros",
    46: "an id that a spreadsheet rounded", 47: "ids that only look alike", 48: "an id too long",
    49: "a formula in a cell", 50: "a script in a cell", 51: "which mark parts the decimals",
    52: "negative by brackets or a trailing minus", 53: "a currency sign in the amount",
    54: "what is no decimal number", 55: "more decimals than the currency has",
    56: "currencies with none or three decimals", 57: "no currency, or none that exists",
    58: "an amount beyond 64 bits", 59: "a negative where refunds stand apart",
    60: "an amount of zero", 61: "fees taken off inside the row",
    62: "two currencies in one pair", 63: "day or month first", 64: "times without a zone",
    65: "hours that clocks skip or repeat", 66: "seconds or milliseconds since 1970",
    67: "a time in the future", 68: "a placeholder for a time", 69: "an event told late",
    70: "a refund before its order", 71: "the same event, the same content",
    72: "the same event, other content", 73: "one payment for several orders",
    74: "two answers equally good", 75: "an order that is matched already",
    76: "refunds that name one another, or come twice", 77: "a key that nearly all rows share",
    78: "a model that cannot be learned", 79: "a score that is no number",
    80: "rules that contradict each other", 81: "a rule that matches nearly everything",
    82: "a label for a pair nobody knows", 83: "two reviewers who disagree",
    84: "a decision on a claim that was lost", 85: "a decision on facts that changed",
    86: "an author who approves", 87: "too few audit labels", 88: "a label taken from the rule",
    89: "a decision dated back", 90: "an undo of an undo", 91: "a setting nobody knows",
    92: "a setting twice", 93: "a threshold that makes no sense", 94: "an owner nobody knows",
    95: "a promised time of zero, a calendar that ends", 96: "a store of a newer version",
    97: "a run whose rules are not pinned", 98: "a clock that goes backwards",
}  # fmt: skip
QUIRKS: dict[int, str] = {
    1: "marks and encodings", 2: "delimiters, quotes, line ends", 3: "notations of amounts",
    4: "spellings of nothing", 5: "spellings of order ids", 6: "zones, clocks, serial dates",
    7: "decimals of currencies", 8: "signs of fees", 9: "how refunds are told",
    10: "chargebacks and what follows", 11: "several currencies", 12: "line items",
    13: "headers that drift", 14: "lines above, below and between", 15: "deliveries repeated",
    16: "the same period again", 17: "archives and endings", 18: "files cut short",
    19: "rows that are equal and yet two", 20: "texts that spreadsheets run or change",
    21: "XML and OFX", 22: "orders that are no plain sale",
}  # fmt: skip

_STORY, _LEARNED = "test_matching_story", "test_matching_learned"
_DECISIONS = "test_resolution_decisions"
# What is no matter of one file's bytes, and the tests that hold it.
HELD: dict[int | str, tuple[str, ...]] = {
    3: ("test_ingestion_checks.test_heartbeat_misses_a_file",
        "test_resolution_cases.test_a_late_feed_is_a_case_of_its_sources_owner"),
    12: ("test_ledger_files.test_a_file_that_grows_is_refused",),
    15: ("test_ingestion_ingest.test_the_same_name_with_other_content_is_said",),
    24: ("test_ingestion_bad_input.test_only_a_plain_file_is_taken",),
    25: ("test_ingestion_bad_input.test_only_a_plain_file_is_taken",),
    26: ("test_ledger_files.test_a_full_disk_is_said_plainly",
         "test_ledger_faults.test_a_failing_disk_leaves_the_store_as_it_was"),
    29: ("test_ingestion_checks.test_schema_drift",
         "test_workbench.test_a_lost_column_opens_a_case_for_whoever_owns_the_source"),
    49: ("test_present_exports.test_a_csv_neutralises_formulas_and_keeps_numbers",),
    50: ("test_present_reports.test_a_script_in_a_value_does_not_run_in_a_browser",),
    62: ("test_matching_traps.test_currencies_are_never_compared_as_numbers",
         "test_matching_exact.test_no_shared_currency_goes_to_review_and_keeps_its_members"),
    69: ("test_workbench_late.test_a_late_day_says_what_it_added_changed_and_withdrew",
         "test_workbench.test_a_case_keeps_its_name_until_late_money_settles_it"),
    70: (
        "test_resolution_cases.test_a_refund_of_an_unknown_payment_is_a_case_once_it_is_overdue",
    ),
    72: ("test_ledger_batches.test_a_changed_amount_is_a_conflict",),
    73: ("test_matching_splits.test_parts_that_add_up_are_one_match",
         "test_matching_exact.test_several_orders_with_one_key_are_told_apart_by_amount"),
    74: ("test_matching_exact.test_equal_answers_are_questions_and_never_first_found",),
    75: ("test_matching_traps.test_two_payments_cannot_both_have_one_order",),
    76: ("test_ingestion_bad_input.test_refunds_that_name_one_another_stand_open",
         f"{_STORY}.test_a_second_delivery_of_the_charge_is_a_duplicate_and_never_a_payment"),
    77: ("test_matching_comparisons.test_what_is_left_out_is_said",
         "test_matching_window.test_a_crowd_of_one_price_costs_no_pairs"),
    78: ("test_matching_probable.test_learns_that_nothing_matches",
         "test_matching_probable.test_learning_that_does_not_settle_keeps_the_model_that_was_there"),
    79: ("test_matching_trust.test_a_probability_that_is_no_number_goes_to_a_person",),
    80: (
        f"{_LEARNED}.test_rules_that_contradict_each_other_are_reported_and_neither_applies",
    ),
    81: ("test_matching_learned.test_a_rule_that_would_look_at_too_many_pairs_is_not_run",
         "test_resolution_governance.test_a_rule_counts_once_it_was_promoted_and_until_it_expires"),
    82: ("test_tuning_labels.test_a_row_that_cannot_be_used_says_why",),
    83: ("test_matching_decided.test_what_two_people_disagree_about_is_applied_for_nobody",
         "test_matching_decided.test_whoever_adjudicates_ends_the_dispute"),
    84: ("test_resolution_decisions.test_a_decision_with_an_overtaken_claim_is_refused",),
    85: (f"{_DECISIONS}.test_a_decision_on_facts_that_changed_since_they_were_shown_is_refused",
         "test_resolution_standing.test_a_decision_on_changed_facts_comes_back_with_what_differs"),
    86: ("test_resolution_approvals.test_the_author_and_a_second_hat_do_not_count",),
    87: ("test_tuning_certify.test_too_few_labels_say_how_many_are_missing",),
    88: ("test_tuning_distil.test_what_was_said_in_an_audit_is_never_mined",
         "test_tuning_train.test_the_audit_sample_and_rules_train_nothing"),
    89: ("test_tuning_labels.test_a_label_by_native_ids_becomes_a_decision",),
    90: ("test_resolution_decisions.test_undo_is_a_row_and_undo_of_undo_brings_it_back",),
    91: ("test_settings.test_a_mistake_is_explained",),
    92: ("test_settings.test_a_mistake_is_explained",),
    93: ("test_settings.test_thresholds_make_sense",),
    94: ("test_settings.test_an_owner_is_somebody_and_a_backup_somebody_else",
         "test_resolution_routing.test_no_route_at_all_is_the_house"),
    95: ("test_settings.test_a_promised_time_is_some_time",
         "test_workdays.test_due_beyond_the_calendar_is_unknown"),
    96: ("test_ledger_files.test_a_newer_format_is_refused",),
    97: ("test_cli_groups.test_a_run_is_pinned_to_the_text_of_its_rules",
         "test_resolution_governance.test_an_approval_is_bound_to_the_very_text",
         "test_matching_rules.test_another_content_has_another_hash",
         "test_resolution_governance.test_of_two_contents_of_one_rule_the_last_put_in_force_counts"),
    98: ("test_ledger_faults.test_a_clock_that_goes_back_changes_no_order",),
}  # fmt: skip
# Numbers whose own answer needs a feed that does not exist: until then the file is refused whole.
NO_FEED_YET: dict[int | str, str] = {
    21: "no feed reads camt, so no XML is opened at all",
    22: "no feed reads camt, so no XML is opened at all",
    23: "no feed reads workbooks, so they are refused by their first bytes",
    "quirk 21": "no feed reads XML or OFX, so both are refused by their first bytes",
}

FILES = [
    refused(1, "no byte", b"", "empty_file", "the file holds nothing"),
    refused(1, "a mark alone", b"\xef\xbb\xbf", "empty_file", "the file holds nothing"),
    refused(1, "white space alone", b" \n\n ", "empty_file", "the file holds nothing"),
    warned(2, "header alone", table(), "the file has a header and no rows", 0),
    read(4, "mark", b"\xef\xbb\xbf" + table(ROW1)),
    read(4, "mark before a quoted header", b'\xef\xbb\xbf"id","at","amount","cur","order"\n'
         + ROW1.encode(), told={"native_id": "p1"}),
    refused(5, "not declared", table(ROW1).decode().encode("utf-16"), "encoding_utf16",
            'is UTF-16 but is read as utf-8 [encoding_utf16]. Declare encoding = "utf-16"'),
    read(5, "declared", table(ROW1).decode().encode("utf-16"), layout={"encoding": "utf-16"}),
    refused(5, "without a mark", table(ROW1).decode().encode("utf-16-le"), "encoding_utf16",
            'UTF-16 without a mark [encoding_utf16]. Declare encoding = "utf-16-le"'),
    refused(5, "UTF-32", table(ROW1).decode().encode("utf-32"), "encoding_utf32",
            'Declare encoding = "utf-32"'),
    read(5, "UTF-32 declared", table(ROW1).decode().encode("utf-32"),
         layout={"encoding": "utf-32"}),
    refused(5, "inside gzip", gzip.compress(table(ROW1).decode().encode("utf-16")),
            "encoding_utf16", "the file is UTF-16"),
    refused(6, "an impossible byte", table(ROW1) + b"\xff\xfe\n", "encoding_invalid",
            "byte 59 is not UTF-8"),
    refused(6, "latin-1", table(row(order="é")).decode().encode("latin-1"), "encoding_invalid",
            'Declare the right encoding, such as encoding = "cp1252" or "latin-1"'),
    set_aside(7, "in a cell", table(ROW1, row(order="\x00")), "row_nul",
              "the row holds a NUL character"),
    read(8, "all lines", table(ROW1, ROW2).replace(b"\n", b"\r"), 2),
    read(9, "LF and CRLF", table(ROW1) + ROW2.replace("\n", "\r\n").encode(), 2),
    warned(10, "no last line end", table(ROW1, ROW2).rstrip(b"\n"),
           "the last row has no line end", 2),
    set_aside(10, "cut in a row", table(ROW1, ROW2)[:-12], "row_truncated",
              "the file ends in the middle of this row"),
    set_aside(10, "cut in quotes", table(ROW1) + b'p2,"2026-11', "row_truncated",
              "the file ends in the middle of this row"),
    set_aside(10, "cut in a character", table(ROW1) + row(order="é").encode()[:-2],
              "row_truncated", "the file ends in the middle of this row"),
    read(11, "count and sum tie", table(ROW1, ROW2) + b"TOTAL,2,30.00,,\n", 2, layout=CONTROL),
    refused(11, "another sum", table(ROW1, ROW2) + b"TOTAL,2,30.01,,\n", "control_differs",
            "its own total says amount 30.01 where its rows add up to 30.00 EUR", layout=CONTROL),
    refused(11, "another count", table(ROW1, ROW2) + b"TOTAL,3,30.00,,\n", "control_differs",
            "its own total says 3 records where the file holds 2", layout=CONTROL),
    refused(11, "no total where one is due", table(ROW1, ROW2), "control_missing",
            "no line tells the file's own total", layout=CONTROL),
    warned(11, "a row that is set aside", table(ROW1, row(amount="x")) + b"TOTAL,2,11.00,,\n",
           "the file's own total of amount could not be checked", layout=CONTROL,
           counts=(3, 1, 0, 0, 1, 1)),
    again(13, "the same bytes", table(ROW1), (table(ROW1),), (1, 1, 0, 0, 0, 0),
          says="this file is already ingested as batch"),
    again(14, "the same bytes under another name", table(ROW1), (table(ROW1),),
          (1, 1, 0, 0, 0, 0), says="this file is already ingested as batch"),
    refused(16, "gzip cut short", gzip.compress(table(ROW1))[:-6], "gzip_damaged",
            "the gzip archive is damaged"),
    refused(16, "gzip with a wrong check sum", flipped(gzip.compress(table(ROW1)), -6),
            "gzip_damaged", "the gzip archive is damaged"),
    refused(16, "zip cut short", zipped("a.csv", data=table(ROW1))[:-30], "zip_damaged",
            "the zip archive is damaged"),
    refused(16, "zip with a flipped bit", flipped(zipped("a.csv", data=table(ROW1)), 50),
            "zip_damaged", "the zip archive is damaged"),
    refused(16, "zip of a file without a name",
            zipped("a.csv", data=table(ROW1)).replace(b"a.csv", b"\0.csv"), "zip_damaged",
            "the zip archive is damaged (a file in it has no name)"),
    read(16, "gzip", gzip.compress(table(ROW1))),
    read(16, "zip of one file", zipped("__MACOSX/._a.csv", "a.csv", data=table(ROW1))),
    refused(17, "gzip", gzip.compress(MANY), "gzip_bomb", "the archive unpacks to more than"),
    refused(17, "zip", zipped("a.csv", data=MANY), "zip_bomb", "the archive unpacks to more than"),
    refused(17, "gzip in gzip", gzip.compress(gzip.compress(MANY)), "format_mismatch",
            "an archive inside an archive"),
    refused(17, "zip in zip", zipped("a.zip", data=zipped("a.csv", data=MANY)), "format_mismatch",
            "an archive inside an archive"),
    refused(18, "zip of two files", zipped("a.csv", "b.csv"), "zip_members",
            "the zip archive holds 2 files (a.csv, b.csv) where one is read"),
    refused(18, "zip of nothing", zipped(), "zip_members", "holds no file"),
    refused(18, "a path that leads out", zipped("../a.csv"), "zip_path",
            "a path that leads out of its folder"),
    refused(18, "an absolute path", zipped("/etc/a.csv"), "zip_path", "leads out of its folder"),
    refused(18, "tar", TAR, "format_mismatch", "a tar archive"),
    refused(19, "zip", locked(), "zip_encrypted",
            "asks for a password [zip_encrypted]. Unpack it with its password"),
    refused(20, "workbook", zipped("[Content_Types].xml", "xl/workbook.xml"), "format_mismatch",
            "an Excel workbook (XLSX) [format_mismatch]. Save it as CSV."),
    refused(20, "old workbook", b"\xd0\xcf\x11\xe0\xa1\xb1", "format_mismatch",
            "an old Excel workbook (XLS)"),
    refused(20, "OpenDocument", zipped("mimetype", "content.xml"), "format_mismatch",
            "an OpenDocument file"),
    refused(20, "Word", zipped("[Content_Types].xml", "word/document.xml"), "format_mismatch",
            "a Word document"),
    refused(20, "PDF", b"%PDF-1.7\n", "format_mismatch", "a PDF document"),
    refused(20, "picture", b"\x89PNG\r\n\x1a\n\x00", "format_mismatch", "a picture (PNG)"),
    refused(20, "login page", b"<!DOCTYPE html><html></html>", "format_mismatch",
            "a web page [format_mismatch]. A page instead of data is often a login"),
    refused(20, "piece of a page", b'<div class="login">Please log in</div>', "format_mismatch",
            "a web page"),
    refused(20, "e-mail", b"From: bank@example.com\r\nSubject: report\r\n\r\nhello\r\n",
            "format_mismatch", "an e-mail [format_mismatch]. Save its attachment"),
    refused(20, "Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid x\n",
            "format_mismatch", "a pointer of Git LFS"),
    refused(20, "Arrow", b"ARROW1\x00\x00", "format_mismatch", "an Arrow file"),
    refused(20, "pickle", b"\x80\x04\x95\x10\x00\x00\x00\x00", "format_mismatch",
            "a pickled Python object"),
    refused(20, "parquet read as CSV", parquet(id=["p1"]), "format_mismatch",
            'the file is parquet [format_mismatch]. Declare format = "parquet"',
            layout={"format": "csv"}),
    refused(20, "JSON read as CSV", b'[{"id": 1}]', "format_mismatch",
            'the file is JSON [format_mismatch]. Declare format = "json" or "ndjson"',
            layout={"format": "csv"}),
    refused(20, "CSV read as parquet", table(ROW1), "format_mismatch", "the file is not parquet",
            layout={"format": "parquet"}),
    refused(20, "CSV read as JSON", table(ROW1), "json_unreadable", "the file is not JSON",
            layout={"format": "json"}),
    refused(21, "camt", b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/x">]>'
            + CAMT, "format_mismatch", "XML (a bank statement in camt)"),
    refused(22, "camt of any version", CAMT, "format_mismatch",
            "XML (a bank statement in camt) [format_mismatch]. Ask the bank for CSV."),
    refused(22, "XML in UTF-16", '<?xml version="1.0"?><a/>'.encode("utf-16"), "format_mismatch",
            "the file is XML"),
    refused(23, "workbook", zipped("[Content_Types].xml", "xl/worksheets/sheet1.xml"),
            "format_mismatch", "an Excel workbook (XLSX)"),
    warned(27, "last year", table(row(at="2025-11-05 10:00:00")),
           "the newest event is of 2025-11-05, more than a year ago"),
    refused(27, "next year", table(*(row(id=f"p{n}", at="2027-11-05 10:00:00")
            for n in range(10))), "nothing_readable",
            "none of 10 rows could be read; 10 of them: the event lies in the future"),
]  # fmt: skip

HEADERS = [
    refused(28, "two", table("1,2\n", head="id,amount\n"), "missing_column",
            "the header lacks 'at', 'cur'"),
    refused(28, "a file without a header", table(ROW1.replace("#1", "ana@example.com"), head=""),
            "missing_column", "its first row seems to be data: is the header missing?"),
    refused(28, "names that may be somebody's",
            table("x\n", head="ana@example.com,of 4242424242424242,c\n"), "missing_column",
            "it names ***@example.com, of ***4242, c"),
    refused(28, "a header beyond all measure", b"a" * 3_000_000, "header_unreadable",
            "the header row is longer than 1,048,576 bytes"),
    read(29, "a new one", table("p1,2026-11-05 10:00:00,1.00,EUR,#1,x\n",
         head="id,at,amount,cur,order,new\n")),
    read(30, "turned round", table("#1,EUR,1.00,2026-11-05 10:00:00,p1\n",
         head="order,cur,amount,at,id\n"), told={"native_id": "p1", "amount": 100}),
    refused(31, "amount", table("p1,2026-11-05 10:00:00,1.00,EUR,#1,2.00\n",
            head="id,at,amount,cur,order,amount\n"), "duplicate_column",
            "the header names 'amount' twice"),
    warned(31, "a column that nobody reads",
           table(ROW1.strip() + ",x,y\n", head="id,at,amount,cur,order,note,Note\n"),
           "the header names 'note' twice; no declared field reads it",
           told={"amount": 1_000, "order_id": "1"}),
    read(32, "all of it", table(ROW1, head="ID, At ,*Amount,CUR:,Order\n"),
         told={"native_id": "p1", "amount": 1000, "order_id": "1"}),
    refused(33, "amount", table(ROW1, head="id,at,amounts,cur,order\n"), "missing_column",
            "'amount': did you mean 'amounts'"),
    warned(33, "an id that is not needed", table(ROW1, head="id,at,amount,cur,ordr\n"),
           "the declared column of 'order_id' is not in the file"),
    refused(34, "semicolon", table(ROW1).replace(b",", b";"), "wrong_delimiter",
            "the header is one column but holds a semicolon [wrong_delimiter]. Declare delimiter"),
    refused(34, "tab", table(ROW1).replace(b",", b"\t"), "wrong_delimiter", "but holds a tab"),
    refused(35, "times", table(*[row(id=f"p{n}", at=str(n)) for n in range(12)]),
            "nothing_readable", "none of 12 rows could be read; 12 of them in 'event_ts': "
            "the time does not fit any declared format"),
]  # fmt: skip

ROWS = [
    set_aside(36, "two fields", table(ROW1, "p2,2026\n"), "row_short",
              "the row has 2 fields where the header has 5; a table names lines of totals"),
    set_aside(37, "six fields", table(ROW1, ROW2.strip() + ",x\n"), "row_long",
              "the row has 6 fields where the header has 5; a text that holds the delimiter"),
    set_aside(38, "in the first row", table('p1,"2026-11-05 10:00:00,1.00,EUR,#1\n', ROW2),
              "quote_unterminated", "a quote opens a field and is never closed"),
    set_aside(38, "text after a closing quote", table(ROW1, 'p2,"2026"x,1,EUR,#2\n'),
              "quote_misplaced", "text stands between a closing quote and the next delimiter"),
    read(39, "order", table(row(order='"#\n1"')), told={"order_id": "1"}),
    read(40, "two", table(ROW1, "\n", ",,,,\n", ROW2), 2, counts=(4, 2, 0, 0, 0, 2)),
    set_aside(41, "a row of two megabytes", table(ROW1, row(order="x" * 2_000_000)),
              "row_too_long", "the row is longer than 1,048,576 bytes"),
    read(42, "blank", table(row(id="")), told={"native_id": None, "derived_id": True}),
    read(43, "blank", table(row(order="")), told={"order_id": None}),
    *(read(44, f"order id {text!r}", table(row(order=text)), told={"order_id": None})
      for text in ("NA", "-", "--", "0", "000", "null", "  ", "n/a", "None", "#N/A", "?", ".",
                   "unknown")),
    read(45, "order id", table(row(order="000123")), told={"order_id": "000123"}),
    set_aside(46, "with an exponent", table(ROW1, row(order="1.23457E+15")), "id_lossy",
              "a spreadsheet has rounded an id"),
    set_aside(46, "as a float", table(ROW1, row(order="92598312.0")), "id_lossy",
              "a spreadsheet has rounded an id"),
    read(47, "an invisible space", table(row(order="10\u200b01")),
         told={"order_id": "1001", "raw_keys": '{"order_id":"10\u200b01"}'}),
    read(47, "a letter in two pieces", table(row(order="e\u0301-1")),
         told={"order_id": "\u00e9-1"}),
    warned(47, "a Cyrillic letter among Latin ones", table(row(order="\u0410B-1001")),
           "ids that mix alphabets", told={"order_id": "\u0410B-1001"}),
    set_aside(48, "600 characters", table(ROW1, row(order="x" * 600)), "id_too_long",
              "an id is longer than 512 characters"),
    read(49, "order id", table(row(order='"=HYPERLINK(""x"")"')),
         told={"order_id": '=HYPERLINK("x")'}),
    read(50, "order id", table(row(order="<script>")), told={"order_id": "<script>"}),
]  # fmt: skip

MONEY = [
    set_aside(51, "may mean either", cell("1,234"), "amount_ambiguous",
              "the mark may group thousands or part decimals; declare `thousands`"),
    read(51, "declared", cell("1,234"), 2, {"amount": 123_400}, layout={"thousands": ","}),
    set_aside(51, "the other notation", cell("1.234,50"), "amount_unreadable",
              "not a decimal number in the declared notation"),
    read(52, "brackets", cell("(12.00)"), 2, {"amount": -1_200},
         layout={"event_type": "other"}),
    read(52, "trailing minus", cell("12.00-"), 2, {"amount": -1_200},
         layout={"event_type": "other"}),
    read(53, "the row's own", cell("€12.00"), 2, {"amount": 1_200}),
    set_aside(53, "another code", cell("10.00 GBP"), "currency_contradicts",
              "the amount names another currency than its row"),
    set_aside(53, "a dollar sign in a row of euros", cell("$12.00"), "currency_contradicts",
              "the amount names another currency than its row"),
    read(53, "a dollar sign in a row of dollars", cell("$12.00", cur="CAD"), 2,
         {"amount": 1_200, "currency": "CAD"}),
    set_aside(53, "a pound sign in a row of dollars", cell("£12.00", cur="USD"),
              "currency_contradicts", "the amount names another currency than its row"),
    *(set_aside(54, text, cell(text), "amount_unreadable",
                "not a decimal number in the declared notation")
      for text in ("NaN", "inf", "1_000", "1e3", "0x1F", "\uff11\uff12", "=1+1", "1.2.3")),
    set_aside(55, "a third", cell("1.234"), "amount_decimals",
              "the amount has more decimals than its currency"),
    read(55, "zeros only", cell("1.23000"), 2, {"amount": 123}),
    read(56, "yen", cell("1200", cur="JPY"), 2, {"amount": 1_200}),
    set_aside(56, "half a yen", cell("12.5", cur="JPY"), "amount_decimals",
              "the amount has more decimals than its currency"),
    read(56, "dinar", cell("1.234", cur="KWD"), 2, {"amount": 1_234}),
    set_aside(57, "missing", cell("1.00", cur=""), "currency_missing",
              "the amount has no currency"),
    set_aside(57, "a word", cell("1.00", cur="EURO"), "currency_unknown",
              "the currency is not an ISO 4217 code"),
    set_aside(58, "twenty digits", cell("99999999999999999999"), "amount_overflow",
              "larger than 64-bit minor units can hold"),
    set_aside(59, "payment", cell("-1.00"), "sign_contradicts",
              "the sign of the amount contradicts the event type"),
    read(59, "by type", cell("-1.00"), 2, {"amount": -100, "event_type": "refund"},
         layout={"sign": "by_type", "event_type": {"column": "cur", "map": {"EUR": "refund"}}}),
    warned(60, "payment", cell("0.00"), "rows with an amount of zero", 2),
    read(61, "fee and net", stripe(CHARGE), told={"amount": 1_000, "fee": 59, "net": 941},
         source=STRIPE),
    warned(61, "a net that does not follow", stripe(CHARGE.replace("9.41", "9.40")),
           "rows whose net is not amount minus fee", source=STRIPE,
           told={"amount": 1_000, "fee": 59, "net": 940}),
]  # fmt: skip

TWO_WAYS = {"date_formats": ["%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S"]}
TIMES = [
    set_aside(63, "both formats declared", at("01/02/2026 10:00:00"), "time_format_ambiguous",
              "two declared formats read the time differently; declare one", layout=TWO_WAYS),
    refused(64, "none declared", table(ROW1), "", "carry no offset and no zone is known",
            layout={"timezone": None}),
    set_aside(65, "skipped", at("2026-03-08 02:30:00"), "time_nonexistent",
              "the clock change of the zone skipped this local time; is the declared zone the "
              "file's?"),
    set_aside(65, "twice", at("2026-11-01 01:30:00"), "time_ambiguous",
              "the clock change of the zone made this local time happen twice; export the times in "
              "UTC or with their offset"),
    read(66, "both", table(row(at="1767225600"), row(id="p8", at="1767225600000")), 2,
         layout={"date_formats": ["epoch"]}),
    set_aside(66, "neither", table(row(at="1767225600"), row(id="p8", at="99999999999999999")),
              "time_unreadable", "the time does not fit any declared format",
              layout={"date_formats": ["epoch"]}),
    set_aside(67, "ten days on", at("2026-11-30 10:00:00"), "time_future",
              "the event lies in the future of the day on which the file was received"),
    *(set_aside(68, text, at(f"{text} 00:00:00"), "time_placeholder", "the time is a placeholder")
      for text in ("1970-01-01", "1900-01-01", "1899-12-30", "9999-12-31")),
    again(71, "in another file", table(ROW1, ROW2), (table(ROW1),), (2, 1, 1, 0, 0, 0)),
    again(72, "another amount", table(ROW1.replace("10.00", "11.00")), (table(ROW1),),
          (1, 0, 0, 1, 0, 0)),
    again(72, "another order", table(ROW1.replace("#1", "#7")), (table(ROW1),),
          (1, 0, 0, 1, 0, 0)),
]  # fmt: skip

SEMICOLONS = {"delimiter": ";", "decimal": ","}
LINES = {"group_by": ["order_id"], "columns": LAYOUT["columns"] | {"native_id": "order"}}
REAL_LIFE = [
    read("quirk 1", "UTF-16 with tabs", table(ROW1).replace(b",", b"\t").decode()
         .encode("utf-16-be"), layout={"encoding": "utf-16-be", "delimiter": "\t"}),
    read("quirk 1", "cp1252 declared", table(row(order="Zoë")).decode().encode("cp1252"),
         told={"order_id": "Zoë"}, layout={"encoding": "cp1252"}),
    refused("quirk 1", "an encoding nobody knows", table(ROW1), "",
            "encoding 'utf-9' is not read; did you mean", layout={"encoding": "utf-9"}),
    read("quirk 2", "semicolon and comma", table("p1;2026-11-05 10:00:00;1.234,50;EUR;#1\n",
         head=HEAD.replace(",", ";")), told={"amount": 123_450}, layout=SEMICOLONS),
    read("quirk 2", "bars", table(ROW1).replace(b",", b"|"), layout={"delimiter": "|"}),
    read("quirk 2", "sep line", b"sep=;\n" + table(ROW1).replace(b",", b";")),
    read("quirk 2", "delimiter and doubled quotes in a cell", table(row(order='"#1,""a"""')),
         told={"order_id": '1,"a"'}),
    *(read("quirk 3", text, cell(text), 2, {"amount": minor}, layout={"event_type": "other"})
      for text, minor in (("1,234.56", 123_456), ("1\u00a0234.56", 123_456),
                          ("1\u202f234.56", 123_456), ("\u2212129.99", -12_999),
                          ("EUR 12.00", 1_200), ("12.00 ", 1_200), ("+12.00", 1_200))),
    read("quirk 3", "apostrophes", cell("1'234.56"), 2, {"amount": 123_456},
         layout={"thousands": "'"}),
    *(read("quirk 3", f"{text} with a decimal comma",
           table(row(amount=f'"{text}"')), 1, {"amount": minor}, layout={"decimal": ","})
      for text, minor in (("1.234,56", 123_456), ("1 234,56", 123_456), ("+31070,11", 3_107_011),
                          (",03", 3))),
    *(warned("quirk 4", f"amount {text!r}", cell(text), "moved without an amount", 2,
             told={"amount": None})
      for text in ("", "--", "N/A", "NULL")),
    set_aside("quirk 4", "amount '-'", cell("-"), "amount_unreadable", "`nulls`"),
    warned("quirk 4", "amount '-' declared", cell("-"), "moved without an amount", 2,
           told={"amount": None}, layout={"nulls": ["", "-"]}),
    read("quirk 4", "currency in small letters", cell("1.00", cur="eur"), 2,
         {"currency": "EUR"}),
    *(read("quirk 5", text, table(row(order=text)), told={"order_id": key})
      for text, key in (("#1001", "1001"), ("1001", "1001"), ("AI-1001", "AI-1001"),
                        ("EN1001", "EN1001"), ("'0012", "0012"))),
    read("quirk 5", "a number beyond 2^53 in JSON",
         NDJSON[:-2] + b',"order":9007199254740993}\n', told={"order_id": "9007199254740993"},
         layout={"format": "ndjson"}),
    read("quirk 5", "a whole float in parquet", parquet(id=["p1"], at=["2026-11-05 10:00:00"],
         amount=[0.3], cur=["EUR"], order=[10001.0]), told={"order_id": "10001", "amount": 30},
         layout={"format": "parquet"}),
    set_aside("quirk 6", "a serial date", at("45384.3478"), "time_unreadable",
              "the time does not fit any declared format"),
    read("quirk 6", "an offset in the value", at("2026-11-05 10:00:00 +0100"), 2,
         {"event_ts": "2026-11-05T09:00:00Z"},
         layout={"date_formats": ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S %z"]}),
    read("quirk 6", "local time of a declared zone", at("2026-11-05 10:00:00"), 2,
         {"event_ts": "2026-11-05T15:00:00Z"}),
    read("quirk 6", "two digits of a year", table(row(at="05.11.26")), 1,
         {"event_ts": "2026-11-05T05:00:00Z"}, layout={"date_formats": ["%d.%m.%y"]}),
    set_aside("quirk 6", "a day that no month has", at("2026-02-30 10:00:00"), "time_unreadable",
              "the time does not fit any declared format"),
    *(read("quirk 7", f"{text} {cur}", cell(text, cur=cur), 2, {"amount": minor})
      for text, cur, minor in (("1200", "KRW", 1_200), ("1.234", "BHD", 1_234),
                               ("1200", "ISK", 1_200), ("12.50", "HUF", 1_250))),
    set_aside("quirk 7", "five decimals", cell("12.34567"), "amount_decimals",
              "the amount has more decimals than its currency"),
    read("quirk 8", "a fee told as a negative cost",
         table("p1,2026-11-05 10:00:00,10.00,EUR,#1,-0.59\n",
         head="id,at,amount,cur,order,fee\n"), told={"amount": 1_000, "fee": 59, "net": 941},
         layout={"fee_sign": "negative", "columns": LAYOUT["columns"] | {"fee": "fee"}}),
    warned("quirk 8", "a fee of the other sign than the layout says",
           table("p1,2026-11-05 10:00:00,10.00,EUR,-0.59,9.41\n",
                 head="id,at,amount,cur,fee,net\n"), "rows whose net is not amount minus fee",
           layout={"columns": LAYOUT["columns"] | {"fee": "fee", "net": "net"}}),
    read("quirk 9", "as a column", shop(ORDER.replace(",0.00,", ",40.00,")), 2,
         {"event_type": "refund", "amount": -4_000}, source=SHOP),
    read("quirk 9", "as a row", stripe(CHARGE, REFUND), 2,
         {"event_type": "refund", "amount": -400, "parent_key": "ch_1"}, source=STRIPE),
    warned("quirk 9", "more than was paid", shop(ORDER.replace(",0.00,", ",140.00,")),
           "more was refunded than the order's total", 2, source=SHOP),
    read("quirk 10", "dispute and its reversal", stripe(CHARGE,
         CHARGE.replace("txn_1", "txn_3").replace("10.00,0.59,9.41,charge",
                                                  "-10.00,15.00,-25.00,dispute"),
         CHARGE.replace("txn_1", "txn_4").replace("10.00,0.59,9.41,charge",
                                                  "10.00,0.00,10.00,dispute_reversal")), 3,
         {"event_type": "chargeback", "amount": 1_000}, source=STRIPE),
    read("quirk 11", "what the shopper paid in", stripe(CHARGE.replace(",,\n", ",10.90,usd\n")),
         told={"amount": 1_000, "currency": "EUR", "presentment_amount": 1_090,
               "presentment_currency": "USD"}, source=STRIPE),
    read("quirk 12", "line items of one order", shop(ORDER, "#1001,,,,,,,,\n", "#1001,,,,,,,,\n"),
         1, {"amount": 10_000, "records": 3}, source=SHOP, counts=(3, 3, 0, 0, 0, 0)),
    set_aside("quirk 12", "an order cut by a file's end", shop("#1000,,,,,,,,\n", ORDER),
              "order_row_missing", "line items whose order row is not beside them", source=SHOP),
    read("quirk 12", "lines put together", table(row(order="#5", amount="1.00", id="a"),
         row(order="#5", amount="2.50", id="b")), 1, {"amount": 350, "records": 2}, layout=LINES,
         counts=(2, 2, 0, 0, 0, 0)),
    set_aside("quirk 12", "lines that disagree", table(ROW1, row(order="#5", cur="EUR"),
              row(order="#5", cur="USD")), "group_differs",
              "the rows of one group disagree in a field that is told once", layout=LINES,
              counts=(3, 1, 0, 0, 2, 0)),
    read("quirk 13", "two names of one column", table(ROW1, head="id,created,amount,cur,order\n"),
         layout={"columns": LAYOUT["columns"] | {"event_ts": ["at", "created"]}}),
    refused("quirk 13", "the same twice, apart in letters",
            table(ROW1.strip() + ",x\n", head="id,at,amount,cur,Order,*order\n"),
            "duplicate_column", "the header names '*order' twice (as 'Order' before)"),
    read("quirk 14", "title lines above", b"Statement of November\n\n" + table(ROW1),
         layout={"skip_rows": 2}),
    read("quirk 14", "a zone above", ads(CLICK, above="### comment\nParameters:TimeZone=+0100\n"),
         told={"event_ts": "2026-11-05T09:00:00Z", "tz_source": "file"}, source=ADS),
    warned("quirk 14", "the header again (files put together)", table(ROW1, HEAD, ROW2),
           "the header stands again among the rows", 2),
    read("quirk 14", "a total below", table(ROW1) + b"Grand Total,,10.00,,\n",
         layout={"footer_regex": "^Grand Total"}, counts=(2, 1, 0, 0, 0, 1)),
    set_aside("quirk 14", "a total below that nobody declared",
              table(ROW1) + b"Grand Total,,10.00,,\n", "currency_missing",
              "the amount has no currency"),
    set_aside("quirk 15", "NDJSON cut in its last line", NDJSON + b'{"id":"p2"', "json_truncated",
              "the file ends in the middle of this line", layout={"format": "ndjson"}),
    again("quirk 15", "the same delivery twice in one file", NDJSON + NDJSON, (),
          (2, 1, 1, 0, 0, 0), layout={"format": "ndjson"}),
    again("quirk 15", "the same change under two ids", NDJSON + NDJSON.replace(b"p1", b"p2"), (),
          (2, 2, 0, 0, 0, 0), layout={"format": "ndjson"}),
    read("quirk 15", "a test event", NDJSON.replace(b"}", b',"order":"1","test":true}'),
         told={"test": True},
         layout={"format": "ndjson", "columns": LAYOUT["columns"] | {"test": "test"}}),
    again("quirk 16", "gzip of a file that is known", gzip.compress(table(ROW1)), (table(ROW1),),
          (1, 0, 1, 0, 0, 0)),
    again("quirk 16", "restated: another status", shop(ORDER.replace("paid", "refunded")),
          (shop(ORDER),), (1, 1, 0, 0, 0, 0), source=SHOP),
    again("quirk 16", "overlapping periods", table(ROW2, row()), (table(ROW1, ROW2),),
          (2, 1, 1, 0, 0, 0)),
    read("quirk 17", "gzip of several parts", gzip.compress(table(ROW1))
         + gzip.compress(ROW2.encode()), 2),
    refused("quirk 17", "bzip2", b"BZh91AY", "format_mismatch", "a bzip2 archive"),
    refused("quirk 17", "7-Zip", b"7z\xbc\xaf\x27\x1c", "format_mismatch", "a 7-Zip archive"),
    refused("quirk 18", "parquet cut short", parquet(id=["p1"])[:-20], "parquet_damaged",
            "the parquet file is damaged", layout={"format": "parquet"}),
    refused("quirk 18", "JSON cut short", b'[{"id": "p1"}, {"id"', "json_unreadable",
            "the file is not JSON", layout={"format": "json"}),
    again("quirk 19", "without an id of their own", table(row(id=""), row(id="")), (),
          (2, 2, 0, 0, 0, 0)),
    read("quirk 20", "emoji and right-to-left", table(row(order="\u05d0\U0001f600")),
         told={"order_id": "\u05d0\U0001f600"}),
    read("quirk 20", "a control character", table(row(order="a\x07b")),
         told={"order_id": "a\x07b"}),
    refused("quirk 21", "OFX", b"OFXHEADER:100\r\nDATA:OFXSGML\r\n\r\n<OFX>", "format_mismatch",
            "a bank statement in OFX"),
    refused("quirk 21", "XML that blows up", b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
            b'<!ENTITY b "&a;&a;&a;">]><l>&b;</l>', "format_mismatch", "the file is XML"),
    refused("quirk 21", "MT940", b":20:START\r\n:25:NL00\r\n:60F:C260101EUR0,00\r\n",
            "format_mismatch", "a bank statement in MT940"),
    *(refused("quirk 21", f"MT940 below {head!r}", head + b":20:START\r\n:25:NL00\r\n",
              "format_mismatch", "a bank statement in MT940")
      for head in (b":940:\r\n", b"0000 01BANKNL2A\r\n940 00\r\n", b"{1:F01BANKNL2A}{4:\r\n")),
    *(refused("quirk 21", f"OFX after {head!r}", head + b"\n<OFX></OFX>",
              "format_mismatch", "a bank statement in OFX")
      for head in (b"\n\nOFXHEADER:100", b'<?xml version="1.0"?>\n<?OFX OFXHEADER="200"?>')),
    refused("quirk 21", "camt without a namespace",
            b'<?xml version="1.0"?><Document><BkToCstmrStmt>',
            "format_mismatch", "a bank statement in camt"),
    refused("quirk 21", "BAI2 with colons in its time",
            b"01,BANKGB2L,9876543,260215,14:59:35,1,,,2/\n",
            "format_mismatch", "a bank statement in BAI2"),
    refused("quirk 21", "BAI2", b"01,122099999,123456789,040621,0200,1,65,,2/\n",
            "format_mismatch", "a bank statement in BAI2"),
    read("quirk 22", "cash on delivery, pending", shop(ORDER.replace("paid", "pending")),
         told={"status": "pending", "amount": 10_000}, source=SHOP),
    read("quirk 22", "cancelled before it was paid",
         shop(ORDER.replace("paid,", "voided,").replace(",5001,,", ",5001,2026-11-06,")),
         told={"status": "cancelled"}, source=SHOP),
    warned("quirk 22", "an order of nothing", shop(ORDER.replace("100.00", "0.00")),
           "rows with an amount of zero", source=SHOP),
    again("quirk 22", "an order edited after it was paid", shop(ORDER.replace("100.00", "90.00")),
          (shop(ORDER),), (1, 1, 0, 0, 0, 0), source=SHOP),
]  # fmt: skip

HOSTILE = [
    set_aside("attack 21", "a key twice in NDJSON", NDJSON + b'{"id":1,"id":2}\n',
              "json_duplicate_key", "the record names a key twice", layout={"format": "ndjson"}),
    set_aside("attack 21", "NaN in NDJSON", NDJSON + b'{"id":"p2","amount":NaN}\n',
              "json_not_a_number", "NaN or Infinity stands where a number should",
              layout={"format": "ndjson"}),
    refused("attack 21", "a depth bomb", b"[" * 99_999, "json_too_deep", "nested more than 32",
            layout={"format": "json"}),
    set_aside("attack 21", "an object nested too deep", NDJSON + b'{"a":' * 40 + b"1" + b"}" * 40
              + b"\n", "json_too_deep", "objects are nested more than 32 deep",
              layout={"format": "ndjson"}),
]  # fmt: skip

CASES: tuple[Case, ...] = (
    *FILES, *HEADERS, *ROWS, *MONEY, *TIMES, *REAL_LIFE, *HOSTILE,
)  # fmt: skip
