"""The feeds that exist, by the name a source declares: one line each."""

from __future__ import annotations

from recon_kit.errors import UnknownNameError
from recon_kit.ingestion.feed import Feed
from recon_kit.ingestion.feeds.google_ads import OfflineConversions
from recon_kit.ingestion.feeds.shopify_orders import ShopifyOrders
from recon_kit.ingestion.feeds.stripe_payouts import PayoutReconciliation
from recon_kit.ingestion.layout import Table
from recon_kit.settings import Source

FEEDS: tuple[type[Feed], ...] = (
    Table,
    ShopifyOrders,
    PayoutReconciliation,
    OfflineConversions,
)


def feed_for(source: Source) -> Feed:
    """The feed that a source declares, ready to read its files.

    Raises:
        UnknownNameError: no feed of that name exists; the message names the nearest.
        SettingsError: the source's options or layout make no sense for the feed.
    """
    for kind in FEEDS:
        if kind.name == source.feed:
            return kind(source)
    raise UnknownNameError("feed", source.feed, [kind.name for kind in FEEDS])
