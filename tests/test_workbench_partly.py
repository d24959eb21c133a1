"""What a match by key leaves open is asked about by what is open, not by the whole."""

from __future__ import annotations

from recon_kit import money
from recon_kit.present import comparing
from recon_kit.workbench.cards import Cards


def test_a_question_about_what_is_open_names_the_open_part(twin_bench):
    """A bank line that one payout covers in part: the next payout is held against the rest."""
    read, _, _ = twin_bench._waiting(None, twin_bench._runs(None))
    cards = Cards(read, twin_bench.settings)
    (asked,) = read.questions.filter(why_code="residual")["question_id"]
    with twin_bench._current("payouts_to_bank") as (engine, _):
        matched, whole, currency = engine.one(
            """select m.left_sum, m.right_sum, m.currency from matches m
               join open_items using (match_id, run_id)"""
        )
    question = cards.card(asked, {})
    row = comparing.rows(question.asked[0], question.candidates[0].records[0], question.how)[0]
    still = money.display(whole - matched, currency)
    told = money.display(whole, currency)

    assert question.why == f"A match by key leaves {still} of {told} open; this would close it."
    assert row.left == ((f"{still} open of {told}", False),)
    assert (row.outcome, row.words) == ("same", "same amount")
