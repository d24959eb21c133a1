"""The review screen in a real JupyterLab: keys alone, durable, through a dead kernel, offline."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import sys
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import psutil
import pytest
from lab import (
    ALL_RAN,
    CONNECTED,
    CONTRAST,
    browser_page,
    in_scheme,
    open_notebook,
    serving,
)

from recon_kit.present.asking import Round
from recon_kit.synth import twin
from recon_kit.workbench.bench import Workbench

ROOT = Path(__file__).resolve().parent.parent
PERSONAL = ("@example", "@letters", "@mail", "a***@")
KINDS = "window.jupyterapp.shell.currentWidget.content.widgets.map(c => c.model.type)"
FRAMED = "document.activeElement.classList.contains('rkr')"
ANSWERED = "before => document.querySelector('.rkr').dataset.answered !== before"
RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()"


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The small twin with all ids but the invoice's taken for unknown: 258 orders are asked."""
    folder = tmp_path_factory.mktemp("asked") / "demo"
    shutil.copytree(ROOT / "data" / "sample", folder)
    settings = (folder / "recon.toml").read_text(encoding="utf-8")
    settings = settings.replace('"order_id", "transaction_id", "invoice', '"invoice')
    settings = settings.replace('uncertified = "auto"', 'uncertified = "review"')
    (folder / "recon.toml").write_text(settings, encoding="utf-8")
    made, bench = twin.load(folder), Workbench(folder)
    for delivery in made.deliveries:
        bench.ingest(
            delivery.source, made.path(delivery),
            as_of=delivery.as_of, received_at=delivery.received_at,
        )  # fmt: skip
    bench.reconcile()
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One JupyterLab for all of these tests, each in a folder of its own."""
    root = tmp_path_factory.mktemp("lab")
    with serving(root) as (address, server):
        yield root, address, server


@pytest.fixture
def desk(lab, asked, request):
    """The notebook and a workspace of one test: address, where the notebook lies, the bench."""
    root, address, _ = lab
    own = request.node.name
    shutil.copytree(ROOT / "notebooks", root / own / "notebooks")
    bench = Workbench(shutil.copytree(asked, root / own / "data" / "demo"))
    return address, f"{own}/notebooks", bench


@contextmanager
def reviewing(desk, outside):
    """The notebook has run, and the box has the focus."""
    address, folder, _ = desk
    with browser_page(outside, address) as page:
        open_notebook(page, address, "03_review_matches", folder)
        screen = Screen(page)
        screen.frame()
        yield page, screen


class Screen:
    """The widget on a page, worked by keys alone."""

    def __init__(self, page):
        self.page, self.root = page, page.locator(".rkr").last

    def frame(self):
        """Press Tab until the box has the focus."""
        self.root.locator(".rkr-ask").wait_for(timeout=60_000)
        for _ in range(60):
            self.page.keyboard.press("Tab")
            if self.page.evaluate(FRAMED):
                return
        pytest.fail("the box cannot be reached by Tab")

    def press(self, key):
        """Press a key, wait for the kernel's answer, and give its time in milliseconds."""
        before = self.root.get_attribute("data-answered")
        self.page.keyboard.press(key)
        self.page.wait_for_function(ANSWERED, arg=before, timeout=20_000)
        return float(self.root.get_attribute("data-answered-ms"))

    def narrow(self, choice, value):
        """Filter the queue, wait for the kernel's answer, and go back to the keys."""
        before = self.root.get_attribute("data-answered")
        self.page.get_by_label(choice).select_option(value)
        self.page.wait_for_function(ANSWERED, arg=before, timeout=20_000)
        self.root.focus()

    def picture(self, name):
        """The box for a person to look at, where RECON_SHOTS names a folder."""
        if "RECON_SHOTS" in os.environ:
            self.page.wait_for_timeout(300)
            self.root.screenshot(path=Path(os.environ["RECON_SHOTS"]) / f"{name}.png")

    def text(self, part):
        """What a part of the screen says."""
        return self.root.locator(part).inner_text()


def _asked(sentence):
    """The event that a question hangs on: `Is payment c20 the counterpart of order #1020?`."""
    return sentence.rsplit(" counterpart", 1)[-1]


def said(bench):
    """The answers in force, oldest first; a group that was answered at once is one answer."""
    rows = bench.store.decisions_now().with_columns(
        answer=pl.coalesce("bundle_id", pl.col("seq").cast(pl.String))
    )
    return rows.unique("answer", keep="first", maintain_order=True)["verdict"].to_list()


@pytest.mark.browser
@pytest.mark.slow
def test_twenty_pairs_by_keyboard_alone(desk, capsys):
    """Each key is one decision in the ledger before the next pair is there; undo takes it back."""
    _, _, bench = desk
    outside = []
    with reviewing(desk, outside) as (page, screen):
        kinds = page.evaluate(KINDS)
        screen.picture("review_group")
        waits, apart = [], 1
        keys = "nssus" + "ssxss" * 3
        for count, key in enumerate(keys, 1):
            asking = screen.text(".rkr-ask")
            waits.append(screen.press(key))
            assert len(said(bench)) == count
            assert screen.text(".rkr-ask") != asking
            # a question whose first candidate is refused stays open while it has another
            asks_on = count == 1 and _asked(screen.text(".rkr-ask")) == _asked(asking)
            apart = apart if count > 1 else int(not asks_on)
        before = said(bench)
        screen.press("z")
        after = said(bench)
        skipped = screen.text(".rkr-ask")
        screen.press("j")
        screen.press("ArrowLeft")
        back = screen.text(".rkr-ask")
        for scheme in ("dark", "light"):
            in_scheme(page, scheme)
            screen.picture(f"review_{scheme}")
            assert page.evaluate(CONTRAST) >= 4.5
        tally = screen.text(".rkr-tally")
        page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        page.wait_for_timeout(1_000)
        unchanged = page.evaluate(KINDS)

    waits.sort()
    with capsys.disabled():
        p95 = waits[round(0.95 * (len(waits) - 1))]
        sys.stdout.write(
            f"\nkey to durable decision and next pair: p50 {statistics.median(waits):.0f} ms, "
            f"p95 {p95:.0f} ms over {len(waits)} keys\n"
        )
    words = {"s": "same", "n": "not_same", "x": "no_counterpart", "u": "unsure"}
    assert before == [words[key] for key in keys]
    assert after == before[:-1]
    assert back == skipped
    assert " ".join(tally.split()) == f"same 14 not the same {apart} no counterpart 3 unsure 1"
    assert bench.store.verify("chain") == []
    assert unchanged == kinds  # no key reached the notebook: no cell was added, cut or turned
    assert outside == []
    saved = (bench.folder.parents[1] / "notebooks" / "03_review_matches.ipynb").read_text("utf-8")
    assert [word for word in PERSONAL if word in saved] == []
    assert "widgets" not in json.loads(saved)["metadata"]


@pytest.mark.browser
@pytest.mark.slow
def test_a_killed_kernel_costs_no_decision(lab, desk):
    """The page says what happened; run again, the queue goes on where it was."""
    bench = desk[2]
    with reviewing(desk, []) as (page, screen):
        for key in "sus":
            screen.press(key)
        waiting = screen.text(".rkr-ask")
        for process in psutil.Process(lab[2].pid).children(recursive=True):
            if "ipykernel" in " ".join(process.cmdline()):
                process.kill()
        page.keyboard.press("s")
        page.locator(".rkr-alert:has-text('run this cell again')").wait_for(timeout=30_000)
        page.get_by_role("button", name="Ok").click(timeout=30_000)
        page.evaluate(RESTART)
        page.wait_for_function(CONNECTED, timeout=60_000)
        page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_timeout(500)
        page.wait_for_function(ALL_RAN, timeout=90_000)
        anew = Screen(page)
        anew.frame()
        again = anew.text(".rkr-ask")

    assert said(bench) == ["same", "unsure", "same"]
    assert again == waiting


@pytest.mark.browser
@pytest.mark.slow
def test_the_screen_reads_well_without_eyes(desk):
    """Names, roles and announcements; forms keep their keys; a reason is asked, and kept."""
    bench = desk[2]
    with reviewing(desk, []) as (page, screen):
        screen.narrow("Reconciliation", "orders_to_payments")
        while screen.root.get_by_role("radio").count() == 0:  # on to an order with a rival
            screen.press("j")
        tree = screen.root.aria_snapshot()
        screen.press("s")
        announced = screen.text("[role=status]")
        page.keyboard.press("m")
        page.keyboard.type("sun is out, no news")  # every letter of it is a key of the screen
        page.keyboard.press("Enter")
        page.locator(".rkr-masked:has-text('are shown in full')").wait_for()
        focused = page.evaluate(FRAMED)
        shown = screen.text(".rkr-records")
        page.keyboard.press("?")
        keys = screen.text(".rkr-help")
        page.keyboard.press("Escape")
        helped = screen.root.locator(".rkr-help").count()
        page.set_viewport_size({"width": 700, "height": 1500})
        wide = page.evaluate("document.querySelector('.rkr').scrollWidth - "
                             "document.querySelector('.rkr').clientWidth")  # fmt: skip
        hidden = page.evaluate("document.querySelector('.rkr-scroll').scrollWidth - "
                               "document.querySelector('.rkr-scroll').clientWidth")  # fmt: skip
        screen.picture("review_narrow")

    assert said(bench) == ["same"]
    for line in (
        'region "Review matches"', 'group "Decide"', 'button "Same"', 'button "Not the same"',
        'button "No counterpart: close it"', 'button "Unsure"', 'button "Undo"', 'combobox "Order"',
        'table "Both records, field by field"', 'rowheader "Amount"', 'columnheader "Difference"',
        'radio "payment', "status:",
    ):  # fmt: skip
        assert line in tree, line
    assert re.match(r"Saved: same, order #\d+\. Is payment \S+ the counterpart of order", announced)
    assert bench.store.rows("disclosures")["reason"].to_list() == ["sun is out, no news"]
    assert "@" in shown
    assert "***" not in shown
    assert focused
    assert "not the same: never join them" in keys
    assert helped == 0
    assert (wide, hidden) == (0, 0)  # nothing to scroll for: every difference is in sight


@pytest.mark.browser
@pytest.mark.slow
def test_two_people_share_one_queue(desk):
    """What is on one person's screen cannot be decided by another until it is given back."""
    bench = desk[2]
    with reviewing(desk, []) as (_, screen):
        screen.narrow("Reconciliation", "orders_to_payments")
        asking = Round(bench.review("orders_to_payments", reviewer="bo").desk)
        first = asking.state()["question"]
        same_question = screen.text(".rkr-ask") == first["ask"]
        chosen = next(c["key"] for c in first["candidates"] if c["chosen"])
        told = asking.handle({"type": "decide", "question": first["id"], "verdict": "unsure",
                              "candidate": chosen})  # fmt: skip
        between = said(bench)
        screen.press("s")

    assert same_question
    assert "is at work on orders_to_payments:" in told["message"]
    assert between == []
    assert said(bench) == ["same"]
