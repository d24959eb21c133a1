"""Attacks through names, values and cells, and what a masked person looks like."""

from __future__ import annotations

import html.parser
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_kit import safe
from recon_kit.ledger.engine import open_engine

calm = settings(deadline=None, derandomize=True, database=None)
HOSTS = ("dashboard.stripe.com",)


# --- SQL names and texts -----------------------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    [
        "x\" , (select content from read_text('/etc/passwd')) as \"leak",
        '"; drop table facts; --',
        'a""b',
        "select",
        "Order Name (#)",
        " ",
        "\u202eevil",
    ],
)
def test_a_column_name_is_only_ever_a_name(name):
    """A hostile header, quoted, reads its own column and nothing else."""
    with open_engine(threads=1) as engine:
        engine.put("facts", pl.DataFrame({name: ["kept"], "other": ["not asked for"]}))
        got = engine.rows(f"select {safe.quote_ident(name)} from facts")
        assert engine.count("facts") == 1
    expected = pl.DataFrame({name: ["kept"]})
    assert expected.equals(got)


@pytest.mark.parametrize("text", ["it's", "'; drop table facts; --", "''", "\\'", "", "\n"])
def test_a_text_literal_is_only_ever_a_text(text):
    """A hostile text, quoted, comes back as it is."""
    with open_engine(threads=1) as engine:
        assert engine.one(f"select {safe.quote_text(text)}") == (text,)


def test_nul_ends_no_name_and_no_text():
    """A NUL could cut a statement short in C, so it is refused."""
    with pytest.raises(ValueError, match="identifier cannot hold a NUL"):
        safe.quote_ident("a\x00b")
    with pytest.raises(ValueError, match="text cannot hold a NUL"):
        safe.quote_text("a\x00b")


# --- Masks -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mask", "text", "shown"),
    [
        (safe.mask_email, "ana.diaz@x.com", "a***@x.com"),
        (safe.mask_email, " ana@x.com ", "a***@x.com"),
        (safe.mask_email, "a@x.com", "***@x.com"),
        (safe.mask_email, '"a@b"@x.com', '"***@x.com'),
        (safe.mask_email, "no address", "n***"),
        (safe.mask_email, "@x.com", "***@x.com"),
        (safe.mask_name, "Ana Diaz", "A*** D***"),
        (safe.mask_name, "  Ana   María Diaz", "A***   M*** D***"),
        (safe.mask_name, "李小龍", "李***"),
        (safe.mask_phone, "+1 (212) 555-4567", "***4567"),
        (safe.mask_phone, "555-4567", "***"),
        (safe.mask_phone, "unknown", "***"),
        (safe.mask_text, "12 Main Street", "1***"),
        (safe.mask_text, "", ""),
        (safe.mask_text, None, None),
        (safe.mask_phone, None, None),
        (safe.mask_email, "   ", "   "),
    ],
)
def test_masks_keep_just_enough_to_recognise(mask, text, shown):
    """What an analyst sees by default, literally."""
    assert mask(text) == shown


@calm
@given(st.text(st.characters(categories=["L", "N", "P"]), min_size=2, max_size=30))
def test_a_masked_name_shows_one_character(name):
    """Whatever the name, one word shows one character and three stars."""
    assert safe.mask_name(name) == name[0] + "***"


def test_every_personal_column_of_a_frame_is_masked():
    """Columns are known by their ledger names; facts pass untouched."""
    frame = pl.DataFrame(
        {
            "event_key": ["k1", "k2"],
            "customer_name": ["Ana Diaz", None],
            "email": ["ana@x.com", ""],
            "phone": ["2125554567", None],
            "address": ["12 Main St", None],
            "postcode": ["10001", None],
            "raw_personal": ['{"vat":"X1"}', None],
        }
    )
    expected = pl.DataFrame(
        {
            "event_key": ["k1", "k2"],
            "customer_name": ["A*** D***", None],
            "email": ["a***@x.com", ""],
            "phone": ["***4567", None],
            "address": ["1***", None],
            "postcode": ["1***", None],
            "raw_personal": ["***", None],
        }
    )
    assert expected.equals(safe.masked_frame(frame))


# --- Pages and scripts -------------------------------------------------------------------------
class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    def handle_starttag(self, tag, _attrs):
        self.opened.append(tag)


SCRIPTS = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>",
    "a\u2028b\u2029c",
    "&lt;img src=x onerror=alert(1)&gt;",
    '"quoted" and \\backslashed\\',
]


@pytest.mark.parametrize("text", SCRIPTS)
def test_json_in_a_script_cannot_end_it(text):
    """An order named like a script stays data: no sign of markup is left, the value is."""
    embedded = safe.json_for_script({"order": text, text: [1, None, True, 1.5]})
    for sign in ("<", ">", "&", "\u2028", "\u2029"):
        assert sign not in embedded
    assert json.loads(embedded) == {"order": text, text: [1, None, True, 1.5]}
    page = _Tags()
    page.feed(f'<script type="application/json">{embedded}</script>')
    assert page.opened == ["script"]


@calm
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_json_for_script_round_trips(value):
    """Whatever goes in comes out of a JSON parser."""
    assert json.loads(safe.json_for_script(value)) == value


def test_json_has_no_infinite_numbers():
    """NaN would be JavaScript, not JSON."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        safe.json_for_script([float("nan")])


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("`recon certify` makes it one.", "<code>recon certify</code> makes it one."),
        ("Set `measure`, then (`recon run`).",
         "Set <code>measure</code>, then (<code>recon run</code>)."),
        ("`<b>`", "<code>&lt;b&gt;</code>"),
        ("an id such as a`b`c, and one ` alone", "an id such as a`b`c, and one ` alone"),
    ],
)  # fmt: skip
def test_what_stands_in_backticks_is_set_as_code(text, page):
    """Commands and settings in a sentence look like code; an id that holds backticks is an id."""
    assert safe.prose_html(text) == page


@pytest.mark.parametrize("text", SCRIPTS)
def test_a_sentence_opens_no_tag_but_code(text):
    """Whatever is between the backticks stays text."""
    page = _Tags()
    page.feed(f"<p>{safe.prose_html(f'see `{text}` and {text}')}</p>")
    assert set(page.opened) <= {"p", "code"}


@pytest.mark.parametrize("text", [*SCRIPTS, "' onmouseover='alert(1)", '" onload="alert(1)'])
def test_escaped_text_opens_no_tag_and_ends_no_attribute(text):
    """Escaped text stays text, between tags and inside either kind of quotes."""
    escaped = safe.escape_html(text)
    page = _Tags()
    page.feed(f"<p title=\"{escaped}\" lang='{escaped}'>{escaped}</p>")
    assert page.opened == ["p"]
    assert html.unescape(escaped) == html.unescape(html.escape(text))
    for sign in ("<", ">", '"', "'"):
        assert sign not in escaped


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "http://dashboard.stripe.com/x",
        "//dashboard.stripe.com/x",
        "https://dashboard.stripe.com@evil.example/",
        "https://user@dashboard.stripe.com/",
        "https://dashboard.stripe.com:8443/",
        "https://dashboard.stripe.com.evil.example/",
        "https://evil.example/https://dashboard.stripe.com/",
        "https://evil.example\\@dashboard.stripe.com/",
        "https:\\\\dashboard.stripe.com/",
        "https://dashboard.stripe.com\t/x",
        " https://dashboard.stripe.com/x",
        "https://dashboard.stripe.com/x\n",
        "https://dаshboard.stripe.com/",  # a Cyrillic letter
        'https://dashboard.stripe.com/"onmouseover="alert(1)',
        "https://dashboard.stripe.com/<script>",
        "",
    ],
)
def test_only_allowed_hosts_become_links(url):
    """Everything but plain https on a listed host is shown as text, escaped."""
    assert safe.https_href(url, HOSTS) is None
    assert safe.https_or_text(url, HOSTS) == safe.escape_html(url)


def test_a_link_on_an_allowed_host_is_a_link():
    """A plain https URL of a listed host keeps its path and query."""
    url = "https://dashboard.stripe.com/payments/pi_1?a=1&b=%20"
    assert safe.https_href(url, HOSTS) == url
    assert safe.https_or_text(url, HOSTS) == (
        '<a href="https://dashboard.stripe.com/payments/pi_1?a=1&amp;b=%20"'
        ' rel="noopener noreferrer">https://dashboard.stripe.com/payments/pi_1?a=1&amp;b=%20</a>'
    )


# --- Spreadsheets ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "cell",
    [
        '=HYPERLINK("https://evil.example","x")',
        "+1+cmd|' /C calc'!A0",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "\u00a0=1",
        "\u200b=1",
        "\ufeff=1",
        "\uff1d1+1",
        "\uff0b1+1",
        "\uff0d1+1",
        "\uff20SUM(1)",
        "\u22121+1",
        "-",
        "+49 170 1234567",
        "-1e5",
    ],
)
def test_formulas_are_neutralised(cell):
    """What a spreadsheet would compute is turned into the text it was."""
    assert pl.select(safe.neutralise(pl.lit(cell))).item() == "'" + cell


@pytest.mark.parametrize("cell", ["-12.50", "+7", "0", "1001", "Ana = Diaz", "a@x.com", "", None])
def test_numbers_and_plain_texts_stay(cell):
    """An amount stays an amount; a sign in the middle is no formula."""
    assert pl.select(safe.neutralise(pl.lit(cell, dtype=pl.String))).item() == cell


def test_a_whole_frame_is_neutralised_headers_included():
    """Text columns and headers are made safe, numeric columns keep type and value."""
    frame = pl.DataFrame({"=note": ["=1", "fine"], "amount": [-1250, 5]})
    expected = pl.DataFrame({"'=note": ["'=1", "fine"], "amount": [-1250, 5]})
    assert expected.equals(safe.neutralised(frame))
