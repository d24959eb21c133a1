"""A real Chromium without a network, for tests marked `browser`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    # Any host but this machine fails to resolve: what a page loads from elsewhere is seen to fail.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@dataclass
class Watched:
    """A page, with every request and every console message it caused."""

    page: Any
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def open(self, file: Path) -> None:
        """Open a file and wait until it is drawn."""
        self.page.goto(file.resolve().as_uri())
        self.page.wait_for_load_state("load")

    @property
    def outside(self) -> list[str]:
        """Requests for anything but the file itself."""
        return [url for url in self.requests[1:] if not url.startswith("data:")]


def chromium() -> str:
    """Path of the installed Chromium; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed on this machine")
    return found


@contextmanager
def watched(scheme: str = "light", width: int = 1180) -> Iterator[Watched]:
    """A page of a headless, offline Chromium in a light or dark colour scheme."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        context = browser.new_context(
            offline=True, color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        seen = Watched(context.new_page())
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.on("console", lambda message: seen.messages.append(message.text))
        seen.page.on("pageerror", lambda error: seen.messages.append(str(error)))
        try:
            yield seen
        finally:
            browser.close()
