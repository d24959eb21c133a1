"""The notebooks in a real JupyterLab, in a real browser, without a network."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from browser import FLAGS, chromium

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "lab-for-tests"  # noqa: S105 - a word for a server that lives as long as the test


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def lab(tmp_path, twin_bench):
    """JupyterLab over a copy of the notebooks, with the small twin as the demo."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    shutil.copytree(twin_bench.folder, tmp_path / "data" / "demo")
    port = free_port()
    home = tmp_path / "jupyter"
    places = {
        name: str(home / name)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--ServerApp.port={port}", f"--IdentityProvider.token={TOKEN}",
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    server = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, **places},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api?token={TOKEN}")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_for(url, seconds_max=90):
    end = time.monotonic() + seconds_max
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own server
                return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"JupyterLab did not answer within {seconds_max} s")


@pytest.mark.browser
@pytest.mark.slow
def test_the_first_screen_opens_in_jupyterlab(lab, tmp_path):
    """Run All on `02_reconcile` shows the first screen, the queue and the SLIs, all offline."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    outside, errors = [], []
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1300, "height": 1600})
        page.on("request", lambda r: outside.append(r.url) if not local(r.url, lab) else None)
        page.goto(f"{lab}/lab/tree/notebooks/02_reconcile.ipynb?token={TOKEN}&reset")
        page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
        # The last cell writes the open items: when it has shown itself, all others have run.
        page.locator(".jp-RenderedHTMLCommon section.rk", has_text="open-items").first.wait_for(
            timeout=180_000, state="attached"
        )
        errors = page.locator(".jp-RenderedText[data-mime-type*='stderr']").all_inner_texts()
        text = page.locator(".jp-Notebook").inner_text()
        page.screenshot(path=os.environ.get("RECON_SHOT", str(tmp_path / "lab.png")))
        browser.close()

    assert "due items are matched" in text
    assert "nordlys, as of" in text
    assert not [e for e in errors if "Error" in e]
    assert outside == []


def local(url, address):
    return url.startswith((address, "data:", "blob:", address.replace("http", "ws")))
