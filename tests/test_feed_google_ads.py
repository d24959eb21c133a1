"""What Google Ads' files of offline conversions and adjustments become."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon_kit.errors import FileRejectedError
from recon_kit.ingestion.feeds.google_ads import (
    LOSSY_ORDER,
    ROUNDED,
    SEVERAL_CLICKS,
    UNKNOWN_ADJUSTMENT,
    OfflineConversions,
)
from recon_kit.settings import Source
from recon_kit.testing import check_golden, tell_file

GOLDEN = Path(__file__).parent / "golden" / "google_ads"


def ads(timezone: str | None = None, **options: object) -> OfflineConversions:
    return OfflineConversions(
        Source(
            name="ads", feed="google_ads.offline_conversions", timezone=timezone, options=options
        )
    )


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "conversions.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("sample", "feed"),
    [
        ("conversions_zone_in_file.csv", ads()),
        ("conversions_enhanced_offset.csv", ads(currency="USD", account="123-456-7890")),
        ("adjustments.csv", ads("UTC")),
    ],
)
def test_samples_become_the_expected_events(sample, feed):
    """Conversions and adjustments become exactly the events that stand beside them."""
    check_golden(feed, GOLDEN / sample)


def test_zones_in_order_of_trust():
    """A time's own offset or zone wins over the file's parameter, that over the source's zone."""
    told = tell_file(ads("Asia/Tokyo"), GOLDEN / "conversions_zone_in_file.csv")

    rows = told.events.select(
        told.events["click_id"], told.events["event_ts"].dt.strftime("%m-%d %H:%M"), "tz_source"
    ).rows()
    assert rows[:4] == [
        ("Cj0-a", "03-01 09:00", "file"),
        ("Cj0-b", "03-02 20:30", "file"),
        ("Cj0-c", "07-01 09:00", "offset in value"),
        ("Cj0-d", "07-01 14:00", "zone in value"),
    ]


def test_no_value_is_null_and_surplus_decimals_are_rounded():
    """A blank value is unknown, not zero; surplus decimals go half to even, raw text kept."""
    told = tell_file(ads(), GOLDEN / "conversions_zone_in_file.csv")

    amounts = dict(told.events.select("click_id", "amount").rows())
    assert amounts == {
        "Cj0-a": 10_000, "Cj0-b": 5_990, "Cj0-c": 1_234, "Cj0-d": None, "Cj0-e": None,
        "Cj0-k": 1_236,
    }  # fmt: skip
    assert told.warnings == {ROUNDED: 2, LOSSY_ORDER: 1}
    rounded = told.events.filter(told.events["click_id"] == "Cj0-c").row(0, named=True)
    assert '"value":"12.345"' in rounded["raw_keys"]


def test_problems_name_row_and_column():
    """Rows without a name, time, currency or readable value are quarantined."""
    told = tell_file(ads(), GOLDEN / "conversions_zone_in_file.csv")

    assert told.problems.select("record_row", "code").rows() == [
        (6, "time_nonexistent"),
        (7, "conversion_missing"),
        (8, "time_missing"),
        (9, "currency_missing"),
        (10, "amount_unreadable"),
    ]


def test_offset_parameter_and_account_currency():
    """A fixed offset is honoured; a row without a currency takes the account's."""
    told = tell_file(ads(currency="USD"), GOLDEN / "conversions_enhanced_offset.csv")

    assert told.events["event_ts"].dt.strftime("%H:%M").to_list() == ["17:00"] * 3
    assert told.events.select("click_id", "amount", "currency").rows() == [
        ("gb1", 1_000, "USD"),
        ("wb1", 1_500, "JPY"),
        ("Cj-3", 1_000, "USD"),
    ]
    assert told.warnings == {SEVERAL_CLICKS: 1}


def test_adjustments_carry_type_and_parent():
    """A restatement and a retraction name what they correct; a retraction has no amount."""
    told = tell_file(ads("UTC"), GOLDEN / "adjustments.csv")

    assert told.events.select("event_type", "status", "parent_key", "amount").rows() == [
        ("adjustment", "restate", "1001", 9_000),
        ("adjustment", "retract", "1002", None),
        ("adjustment", "enhance", "1003", None),
    ]
    assert told.warnings == {UNKNOWN_ADJUSTMENT: 1}


def test_a_zone_must_come_from_somewhere(tmp_path):
    """Local times without parameter and without declared zone refuse the file."""
    path = table(
        tmp_path, "Google Click ID,Conversion Name,Conversion Time\nabc,Lead,2026-01-01 10:00:00\n"
    )

    with pytest.raises(FileRejectedError, match=r"put `Parameters:TimeZone=Area/City`"):
        tell_file(ads(), path)
    assert tell_file(ads("UTC"), path).events.height == 1


def test_the_id_does_not_depend_on_the_notation_of_the_time(tmp_path):
    """The same conversion written with another offset has the same identity."""
    head = "Google Click ID,Conversion Name,Conversion Time\n"
    one = table(tmp_path, head + "abc,Lead,2026-01-01 10:00:00+0000\n")
    first = tell_file(ads(), one).events["event_id"].to_list()
    two = table(tmp_path, head + "abc,Lead,2026-01-01 11:00:00+0100\n")

    assert tell_file(ads(), two).events["event_id"].to_list() == first
