"""A real JupyterLab over a folder, watched by a real browser without a network."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import FLAGS, chromium

TOKEN = "lab-for-tests"  # noqa: S105 - a word for a server that lives as long as the test
# Lab as it is, but: no question about news, no cell left out of the page because it is out of
# sight, and light or dark as the browser asks.
LAB_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false"},
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/themes": {"adaptive-theme": True},
}
# Lab's indicator says idle before there is a kernel; Run All then asks for one, or is dropped.
CONNECTED = """() => {
  const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
  const kernel = context?.isReady && context.session?.kernel;
  return kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle';
}"""
RUN_ALL = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
# All code cells are numbered: each has been run to its end, or to an error.
ALL_RAN = """() => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  return notebook.widgets.filter(cell => cell.model.type === 'code')
    .every(cell => cell.model.executionCount && cell.model.executionState !== 'running');
}"""
# The least contrast of a text that is not a picture's, by the formula of WCAG 2.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const worst = [...document.querySelectorAll('.rk *, .rkr *')]
    .filter(e => !e.closest('svg') && [...e.childNodes].some(
      n => n.nodeType === Node.TEXT_NODE && n.textContent.trim()))
    .map(e => [light(rgba(getComputedStyle(e).color)), light(behind(e))])
    .map(([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  return Math.min(...worst);
}"""


@contextmanager
def serving(folder):
    """JupyterLab with `folder` as its root; gives its address and its process."""
    home = folder / "jupyter"
    for name, content in LAB_SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content), encoding="utf-8")
    places = {
        f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")
    }
    places |= {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }  # fmt: skip
    port = free_port()
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--ServerApp.port={port}", f"--IdentityProvider.token={TOKEN}",
        "--LabApp.extension_manager=readonly", "--LabApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    server = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **places},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api?token={TOKEN}")
        yield address, server
    finally:
        server.terminate()
        server.wait(timeout=30)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url, seconds_max=90):
    end = time.monotonic() + seconds_max
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own server
                return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"JupyterLab did not answer within {seconds_max} s")


@contextmanager
def browser_page(outside, address):
    """A page of Chromium that notes in `outside` what it asks of anybody but our server."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    own = (address, address.replace("http", "ws"), "data:", "blob:")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1300, "height": 1600})
        page.on("request", lambda r: None if r.url.startswith(own) else outside.append(r.url))
        try:
            yield page
        finally:
            browser.close()


def open_notebook(page, address, name, folder="notebooks"):
    """Open a notebook, Run All, wait for the last cell, check that none failed."""
    page.goto(f"{address}/lab/tree/{folder}/{name}.ipynb?token={TOKEN}&reset")
    page.wait_for_function(CONNECTED, timeout=60_000)
    run_cells(page)


def run_cells(page):
    """Run All in the open notebook."""
    page.evaluate(RUN_ALL)
    page.wait_for_function(ALL_RAN, timeout=120_000)
    failed = page.locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts()
    assert failed == []
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts() == []


def in_scheme(page, scheme):
    page.emulate_media(color_scheme=scheme)
    is_light = "true" if scheme == "light" else "false"
    page.locator(f"body[data-jp-theme-light='{is_light}']").wait_for(
        timeout=20_000, state="attached"
    )


def keep_picture(page, name):
    """A picture of the whole notebook for a person to look at, where RECON_SHOTS names a folder."""
    if "RECON_SHOTS" not in os.environ:
        return
    inner = "document.querySelector('.jp-WindowedPanel-outer').scrollHeight"
    page.set_viewport_size({"width": 1300, "height": page.evaluate(inner) + 160})
    page.wait_for_timeout(500)
    page.screenshot(path=Path(os.environ["RECON_SHOTS"]) / f"{name}.png")
    page.set_viewport_size({"width": 1300, "height": 1600})
