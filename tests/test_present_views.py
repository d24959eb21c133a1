"""Views: the first screen, the queue, a history ... built from literal tables."""

from __future__ import annotations

import dataclasses
import re

import fake_bench
import polars as pl
import pytest

from recon_kit import model
from recon_kit.errors import ParameterError
from recon_kit.model import Counts, Receipt
from recon_kit.present import changed, rates, show, summary, views

BENCH = fake_bench.Workbench("demo")
ALL_VIEWS = {
    "profile": BENCH.profile(),
    "reconcile": BENCH.reconcile(),
    "summary": BENCH.summary(),
    "matches": BENCH.matches(),
    "open items": views.OpenItemsView(fake_bench.OPEN_ITEMS, fake_bench.ABOUT),
    "queue": BENCH.queue(),
    "slis": BENCH.slis(),
    "history": BENCH.history("#1001"),
    "why": BENCH.why("#1003"),
    "export": BENCH.export("open-items", "open.csv"),
    "health": BENCH.health(),
}


@pytest.mark.parametrize("name", ALL_VIEWS)
def test_no_backtick_is_printed_where_code_can_be_set(name):
    """Commands and settings in sentences are set as code in HTML."""
    assert "`" not in ALL_VIEWS[name].html()


@pytest.mark.parametrize("name", ALL_VIEWS)
def test_a_view_shows_itself_in_jupyter_and_in_a_terminal(name):
    """Every view leaves marked HTML that a report accepts, and plain text without markup."""
    view = ALL_VIEWS[name]

    bundle = view._repr_mimebundle_()

    assert show.verified(bundle) == view.html()
    assert repr(view) == bundle["text/plain"]
    assert "<section" not in repr(view)
    assert bundle["text/html"].startswith("<style>")


@pytest.mark.parametrize("name", ALL_VIEWS)
def test_a_view_is_frozen_and_has_a_json_form(name):
    """Every view is a frozen record and gives a dictionary."""
    view = ALL_VIEWS[name]

    assert isinstance(view.as_dict(), dict)
    with pytest.raises(dataclasses.FrozenInstanceError):
        view.about = None


def test_the_scoreboard_counts_what_is_due():
    """Due leaves out in flight and not covered; unexplained is overdue and residual."""
    totals = pl.DataFrame(
        {
            "reconciliation": ["r"] * 6,
            "currency": ["EUR"] * 6,
            "state": ["matched", "residual", "in_flight", "not_covered", "overdue", "proposed"],
            "items": [80, 5, 100, 50, 10, 5],
            "amount_minor": [8_000, 500, 10_000, 5_000, 1_000, 500],
        }
    )

    row = summary.scoreboard(totals).row(0, named=True)

    assert (row["all"], row["due"], row["unexplained"]) == (250, 100, 15)
    assert (row["matched_share"], row["matched_share_money"]) == (0.8, 0.8)
    assert row["unexplained_minor"] == 1_500


def test_totals_beyond_int64_do_not_wrap_on_the_way():
    """States are added in wide integers, so partial sums cannot wrap around."""
    big = 2**62
    totals = pl.DataFrame(
        {
            "reconciliation": ["r"] * 3,
            "currency": ["EUR"] * 3,
            "state": ["matched", "overdue", "residual"],
            "items": [1, 1, 1],
            "amount_minor": [big, big, -big],
        }
    )

    assert big == summary.scoreboard(totals)["due_minor"][0]


def test_the_largest_items_come_from_every_currency():
    """No currency hides another: the largest of each is shown first."""
    items = pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "amount_minor": [900_000, 800_000, 700_000, -50],
            "currency": ["JPY", "JPY", "JPY", "EUR"],
        }
    )

    assert summary.largest(items, rows_max=2)["item_id"].to_list() == ["d", "a"]


def test_the_first_screen_says_what_is_matched_and_what_to_do():
    """Headline, board, twenty largest items with their reasons, the export line, the next step."""
    text = repr(BENCH.summary())

    assert "Orders to payments: 6,202 of 6,307 due items are matched (98.3 %)" in text
    assert "618,702.90" in text
    assert 'bench.export("open-items", "reports/open_items.csv")' in text
    assert "Next: 16 questions wait for a person: `bench.review()` asks one at a time" in text
    assert "uncertified: orders_to_payments" in text
    assert text.count("the nearest differs by 12.40 USD") >= 2


def test_the_first_screen_bridges_items_cases_and_questions():
    """One table adds up: open items of both sides, the cases about them, the questions."""
    lines = repr(BENCH.summary()).splitlines()
    table = lines.index(
        "What is open, of all weeks: items, cases about them, questions to a person"
    )

    assert [line.split("  ")[0] for line in lines[table + 3 : table + 10]] == [
        "In flight", "Not covered", "Overdue", "Residual", "Proposed", "No open item", "In all",
    ]  # fmt: skip
    assert lines[table + 9].split() == ["In", "all", "64", "47", "111", "54", "16"]
    assert (
        "7 further cases settle themselves and are only recorded: within the rounding, told twice, "
        "or late. `bench.queue()` lists the cases, `bench.review()` asks the questions."
    ) in lines[table + 10]


def test_a_run_counts_open_cases_apart_from_those_that_settle_themselves():
    """What `recon run` calls open is what the queue lists; the others stand beside."""
    head, _, first, *_ = repr(BENCH.reconcile()).splitlines()[1:]

    assert "Open cases  Settled by rule" in head
    assert first.split()[3:5] == ["54", "7"]


def test_the_queue_and_the_largest_open_items_say_which_reconciliation():
    """An item may be matched in one reconciliation and open in another."""
    assert repr(BENCH.queue()).splitlines()[1].split("  ")[0] == "Priority"
    assert "Reconciliation" in [c.label for c in BENCH.queue().columns()]
    text = repr(BENCH.summary())
    largest = text.index("Largest open items")

    assert text[largest:].splitlines()[1].startswith("Reconciliation")
    assert "shop, orders to payments" in BENCH.health().open_table.text().splitlines()[3]


def test_a_tile_of_one_week_says_so_and_tells_the_whole():
    """Nothing of a quiet week to confirm is not nothing at all."""
    told = BENCH.health().headline.text()

    assert "of the week; 16 questions of all weeks wait for a person)" in told
    assert "due items of the week)" in told


def test_the_first_screen_before_any_run_says_what_to_do():
    """An empty workspace is told how to begin."""
    empty = views.Summary(
        fake_bench.ABOUT, fake_bench.TOTALS.clear(), fake_bench.OPEN_ITEMS.clear()
    )

    assert "Nothing has been reconciled yet" in repr(empty)
    assert "bench.ingest" in repr(empty)


def test_a_script_in_an_order_name_is_text_on_the_first_screen():
    """An order named like a script is shown as its name."""
    attacked = pl.DataFrame(fake_bench.OPEN_ITEMS).filter(pl.col("native_id") == fake_bench.ATTACK)

    page = views.Summary(fake_bench.ABOUT, fake_bench.TOTALS, attacked).html()

    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_a_receipt_ties_its_counts():
    """The six counts stand beside one another, and what was set aside is added up."""
    receipt = Receipt("shop", "a.csv", "0" * 64, 3, Counts(10, 7, 1, 0, 2, 0), 7)

    view = views.ReceiptView((receipt, receipt))

    assert view.quarantined == 4
    assert list(view.frame.row(0)[2:8]) == [10, 7, 1, 0, 2, 0]


def test_a_failed_run_names_its_reason():
    """A reconciliation that could not run is told with its reason, and the view says so."""
    run = views.RunView(BENCH.reconcile().frame, fake_bench.ABOUT, {"bad": "no <left> source"})

    assert run.failed
    assert "bad failed: no <left> source" in repr(run)
    assert "no &lt;left&gt; source" in run.html()


def test_a_history_is_a_timeline_in_the_workspace_zone():
    """Moments are shown in order, with money, file and row, in the zone of the workspace."""
    page = BENCH.history("#1001").html()

    assert page.index("2026-11-03 10:04") < page.index("2026-11-10 00:00")
    assert "100.00 EUR" in page
    assert "orders.csv, row 17" in page


def test_why_tells_methods_candidates_and_weights():
    """The methods gone through, the nearest candidate, and the weights of the best pair."""
    text = repr(BENCH.why("#1003"))

    assert "no payment has key 1003" in text
    assert "amount differs by 12.40 USD" in text
    assert "-12.4" in text


def test_an_unknown_audience_is_refused():
    """The report has three audiences; a misspelt one names the nearest."""
    with pytest.raises(ParameterError, match="did you mean 'finance'"):
        BENCH.health(audience="finances")


@pytest.mark.parametrize("audience", ["ops", "finance", "growth"])
def test_every_audience_reads_the_same_headline(audience):
    """Audiences differ in what follows, never in the numbers."""
    told = BENCH.health(audience=audience).headline.as_dict()["headline"]

    assert told == (
        "98.3 % of what was due is matched in orders to payments; 6,422.66 USD is unexplained, "
        "and more in EUR"
    )


def _headline(rows):
    """The report's sentence about orders to payments, of `currency, state, items, amount_minor`."""
    board = pl.DataFrame(
        [("orders_to_payments", *row) for row in rows],
        schema=["reconciliation", "currency", "state", "items", "amount_minor"],
        orient="row",
    )
    facts = dataclasses.replace(BENCH.health().facts, totals=board)
    return views.HealthView(facts).headline


def test_a_week_whose_proposals_wait_is_not_called_explained():
    """What nobody has confirmed yet is said to wait; all is explained where nothing waits."""
    matched = ("USD", "matched", 56, 500_000)

    assert _headline([matched, ("EUR", "proposed", 2, 9_575)]).as_dict()["headline"] == (
        "96.6 % of what was due is matched in orders to payments; 2 items wait for a person"
    )
    assert _headline([matched]).as_dict()["headline"] == (
        "100.0 % of what was due is matched in orders to payments; all is explained"
    )


def test_the_headline_does_not_hide_other_currencies():
    """Money of one currency is told, and which others have unexplained money as well."""
    rows = [("USD", "overdue", 1, 500), ("EUR", "overdue", 2, 5_000_000), ("USD", "matched", 9, 1)]

    assert _headline(rows).as_dict()["headline"] == (
        "75.0 % of what was due is matched in orders to payments; 5.00 USD is unexplained, "
        "and more in EUR"
    )


def test_what_is_not_covered_is_not_called_not_due():
    """What the other side's files do not reach may be long due: it is told apart."""
    rows = [("USD", "in_flight", 108, 500), ("USD", "not_covered", 2, 700)]

    assert (
        "Not judged yet: 110 (of the week: 108 in flight, 2 not covered)" in _headline(rows).text()
    )


def test_an_indicator_is_unknown_where_it_is():
    """Weeks ripen at different times: each reason names the reconciliations that it holds for."""
    row = {"name": "match_rate", "cohort": "2026-W42", "unit": "share"}
    later = row | {"state": "unknown", "note": "not mature before 2026-10-31 00:00 UTC"}
    slis = pl.DataFrame(
        [
            later | {"reconciliation": "orders_to_payments"},
            later | {"reconciliation": "orders_to_conversions"},
            row | {"reconciliation": "payments_to_payouts", "state": "known", "value": 1.0},
            later | {"reconciliation": "payouts_to_bank", "note": "no left event is covered"},
        ],
        schema=model.SLI_SCHEMA,
    )

    _, notes = rates.sli_matrix(slis, "2026-W42", ["orders_to_payments", "payouts_to_bank"])

    (note,) = notes
    assert note == (
        "Match rate, 2026-W42 is unknown in orders to payments, orders to conversions: not mature "
        "before 2026-10-31 00:00 UTC; in payouts to bank: no left event is covered."
    )


def test_unknown_indicators_are_said_to_be_unknown():
    """An indicator without a value is unknown, not zero and not empty."""
    text = repr(BENCH.slis())

    assert "no audit draw has been labelled yet" in text
    assert re.search("^False match estimate +unknown$", text, re.MULTILINE)


def test_an_immature_week_is_drawn_of_what_is_due():
    """In the trend the newest week counts as the headline counts: what is in flight is left out."""
    weekly = views.weekly_shares(fake_bench.SLIS, "2026-W46").filter(measure="by count")
    board = pl.DataFrame({
        "reconciliation": ["orders_to_payments"] * 2, "currency": ["USD", "EUR"],
        "matched": [30, 18], "due": [32, 18], "matched_share_money": [0.9, 1.0],
    })  # fmt: skip

    drawn = rates.shares_of_due(weekly, {"2026-W46": board})

    assert drawn.filter(week="2026-W46")["share"].to_list() == [0.96]
    assert drawn.filter(week="2026-W45").equals(weekly.filter(week="2026-W45"))


def test_condensed_indicators_keep_one_currency_and_the_longest_silence():
    """A report shows the workspace's money, and of all sources the one silent longest."""
    row = {"reconciliation": "r", "cohort": "all", "unit": "x", "state": "known"}
    slis = pl.DataFrame(
        [
            row | {"name": "unexplained_amount", "currency": "EUR", "value": 1.0},
            row | {"name": "unexplained_amount", "currency": "USD", "value": 2.0},
            row | {"name": "feed_freshness", "cohort": "shop", "value": 3.0},
            row | {"name": "feed_freshness", "cohort": "bank", "value": 40.0},
            row | {"name": "queue_depth", "value": 5.0},
            row | {"name": "time_to_reconcile_median", "cohort": "2026-W46", "value": 6.0},
        ],
        schema=model.SLI_SCHEMA,
    )

    kept = rates.condensed(slis, "USD").select("name", "value").rows()

    assert kept == [("unexplained_amount", 2.0), ("queue_depth", 5.0), ("feed_freshness", 40.0)]


def test_weekly_shares_keep_immature_weeks_apart():
    """A week without a value yet is drawn from its parts and flagged as not mature."""
    weekly = views.weekly_shares(fake_bench.SLIS, "2026-W47")

    last = weekly.filter(pl.col("week") == "2026-W47").row(0, named=True)

    assert (last["measure"], last["share"], last["mature"]) == ("by count", 0.944, False)
    assert weekly.filter(pl.col("week") == "2026-W45")["mature"].all()


def test_indicators_stand_side_by_side():
    """An indicator is a row, a reconciliation a column; what is unknown is said with its reason."""
    matrix, notes = rates.sli_matrix(fake_bench.SLIS, "2026-W45", ["orders_to_payments"])
    rows = dict(matrix.iter_rows())

    assert matrix.columns == ["indicator", "orders_to_payments"]
    assert rows["Match rate, 2026-W45"] == "93.6 % (936 of 1,000)"
    assert rows["Match rate money, 2026-W45, USD"] == "94.7 %"
    assert rows["Unexplained amount, USD"] == "6,422.66 USD"
    assert rows["False match estimate"] == "unknown"
    assert notes == ["False match estimate is unknown: no audit draw has been labelled yet."]


def test_indicators_stand_by_what_they_measure_whoever_has_them():
    """What a later reconciliation alone has stands among its kind, not below everything else."""
    columns = ["reconciliation", "name", "cohort", "currency"]
    told = pl.DataFrame(
        [("a", "match_rate", "all", None), ("a", "feed_freshness", "shop", None),
         ("b", "feed_freshness", "bank", None), ("b", "match_rate_money", "all", "USD"),
         ("b", "match_rate_money", "all", "BHD")],
        schema=dict.fromkeys(columns, pl.String), orient="row",
    ).with_columns(
        value=pl.lit(1.0), unit=pl.lit("share"), state=pl.lit("known"),
        note=pl.lit(None, pl.String), numerator=pl.lit(1), denominator=pl.lit(1),
    )  # fmt: skip

    matrix, _ = rates.sli_matrix(told, "2026-W45", ["a", "b"])

    assert matrix["indicator"].to_list() == [
        "Match rate, all mature weeks", "Match rate money, all mature weeks, BHD",
        "Match rate money, all mature weeks, USD", "Feed freshness, bank", "Feed freshness, shop",
    ]  # fmt: skip


def test_the_first_named_run_makes_the_headline():
    """The report is about the first reconciliation of the workspace, not of the alphabet."""
    about = dataclasses.replace(
        fake_bench.ABOUT, runs=dict(reversed(list(fake_bench.ABOUT.runs.items())))
    )
    facts = dataclasses.replace(BENCH.health().facts, about=about)

    assert "matched in payouts to bank" in views.HealthView(facts).headline.text()


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ("<script>1</script>", "element script"),
        ('<p onclick="x()">a</p>', "attribute onclick"),
        ("<svg><foreignObject></foreignObject></svg>", "element foreignobject"),
        ('<p style="background:url(//x)">a</p>', "reference in style"),
        ("<!-- x -->", "comment"),
        ("<iframe src=x></iframe>", "element iframe"),
        ("<p>1 < 2</p>", "bare <"),
    ],
)
def test_what_our_renderers_never_write_is_refused(html, problem):
    """Marked content is still read tag by tag before a report embeds it."""
    bundle = {"text/html": html, show.MARK: show.mark("text/html", html)}

    assert show.forbidden(html).startswith(problem)
    assert show.verified(bundle) is None


def test_a_changed_or_unmarked_output_is_not_ours():
    """HTML without our mark, or other than what was marked, is not embedded."""
    view = BENCH.queue()._repr_mimebundle_()

    assert show.verified({"text/html": view["text/html"]}) is None
    assert show.verified(view | {"text/html": view["text/html"] + "<p>more</p>"}) is None


def test_a_residual_is_told_as_money_left_open():
    """What stood before and stands now, in words; the frame keeps its own."""
    rows = pl.DataFrame(
        {"state_before": ["residual", None], "state_after": ["matched", "residual"]}
    )

    assert changed.with_states_told(rows).rows() == [
        ("matched, money open", "matched"), (None, "matched, money open"),
    ]  # fmt: skip
