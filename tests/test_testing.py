"""The golden helper: what it accepts, what it says, and how it regenerates."""

from __future__ import annotations

import json

import polars as pl
import pytest

from recon_kit.ingestion.feed import Told
from recon_kit.ingestion.feeds.google_ads import OfflineConversions
from recon_kit.settings import Source
from recon_kit.testing import SWITCH, check_golden, tell_file

TEXT = (
    "Google Click ID,Conversion Name,Conversion Time,Conversion Value,Conversion Currency\n"
    "abc,Lead,2026-01-01 10:00:00+0000,1.00,EUR\n"
    "def,Lead,2026-01-01 10:00:00+0000,2.00,EUR,too long\n"
)


def ads() -> OfflineConversions:
    return OfflineConversions(Source(name="ads", feed="google_ads.offline_conversions"))


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "sample.csv"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_new_sample_asks_to_be_written(sample, monkeypatch):
    """Without an expectation the message says how to make one; then the sample passes."""
    monkeypatch.delenv(SWITCH, raising=False)
    with pytest.raises(AssertionError, match="run the test once with RECON_GOLDEN=write"):
        check_golden(ads(), sample)
    monkeypatch.setenv(SWITCH, "write")
    check_golden(ads(), sample)
    monkeypatch.delenv(SWITCH)

    assert check_golden(ads(), sample).events.height == 1


def test_a_change_is_shown_as_a_difference(sample, monkeypatch):
    """When the events change, the message is the difference, field by field."""
    monkeypatch.setenv(SWITCH, "write")
    check_golden(ads(), sample)
    monkeypatch.delenv(SWITCH)
    sample.write_text(TEXT.replace("1.00", "1.50"), encoding="utf-8")

    with pytest.raises(AssertionError, match=r'-   "amount": 100,\n\+   "amount": 150,'):
        check_golden(ads(), sample)


def test_rows_that_the_reader_refuses_are_problems(sample, monkeypatch):
    """A row that is no row stands among the problems of the expectation."""
    monkeypatch.setenv(SWITCH, "write")
    check_golden(ads(), sample)

    body = json.loads((sample.parent / "sample.csv.expected.json").read_text(encoding="utf-8"))
    assert [p["code"] for p in body["problems"]] == ["row_long"]
    assert body["events"][0]["click_id"] == "abc"


def test_a_feed_that_loses_rows_is_caught(sample):
    """Records that end in no event and no problem fail the test of any feed."""

    class Forgetful(OfflineConversions):
        def tell(self, records: pl.DataFrame, context) -> Told:
            told = super().tell(records, context)
            return Told(told.events.clear(), told.problems)

    with pytest.raises(AssertionError, match="1 records were given to the feed and 0 are"):
        tell_file(Forgetful(ads().source), sample)


def test_a_missing_column_is_named(sample):
    """A sample without a needed column says which."""
    sample.write_text("Google Click ID,Conversion Name\nabc,Lead\n", encoding="utf-8")

    with pytest.raises(AssertionError, match="lacks the column 'Conversion Time'"):
        tell_file(ads(), sample)
