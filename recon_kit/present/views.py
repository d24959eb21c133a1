"""The views of the workbench in one place: each result shows itself, built from frames alone."""

from __future__ import annotations

from recon_kit.present.base import About, FrameView
from recon_kit.present.changed import ChangesView
from recon_kit.present.health import HealthView
from recon_kit.present.healthfacts import HealthFacts
from recon_kit.present.lists import (
    FileView,
    MatchesView,
    OpenItemsView,
    ProfileView,
    QueueView,
    ReceiptView,
    RunView,
)
from recon_kit.present.rates import SliView, weekly_shares
from recon_kit.present.show import View
from recon_kit.present.stories import HistoryView, WhyView
from recon_kit.present.summary import Summary

__all__ = [
    "About",
    "ChangesView",
    "FileView",
    "FrameView",
    "HealthFacts",
    "HealthView",
    "HistoryView",
    "MatchesView",
    "OpenItemsView",
    "ProfileView",
    "QueueView",
    "ReceiptView",
    "RunView",
    "SliView",
    "Summary",
    "View",
    "WhyView",
    "weekly_shares",
]
