"""A long call in a notebook says what it is at, and leaves nothing of it behind."""

from __future__ import annotations

import IPython.display
import pytest

from recon_kit.present import live
from recon_kit.workbench.bench import Workbench


class Cell:
    """A notebook's cell: what stands in it now, and all that ever did."""

    def __init__(self):
        self.seen = []

    def display(self, data, **how):
        """What IPython shows first."""
        assert how == {"raw": True, "display_id": True}
        self.seen.append(data["text/plain"])
        return self

    def update(self, data, *, raw):
        """What stands there from now on."""
        assert raw
        self.seen.append(data["text/plain"])


@live.while_running
def work(stages, progress=lambda _: None):
    """Tell each stage; the last one may be an error."""
    for stage in stages:
        if isinstance(stage, Exception):
            raise stage
        progress(stage)
    return len(stages)


@pytest.fixture
def cell(monkeypatch):
    """As if a kernel ran this."""
    made = Cell()
    monkeypatch.setattr(live, "in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", made.display)
    return made


def test_each_stage_replaces_the_one_before_and_the_last_is_empty(cell):
    """The seconds so far stand beside it; a saved notebook holds none of them."""
    assert work(["learning", "held out, part 1 of 5"]) == 2
    assert [text.partition(" ... (")[0] for text in cell.seen] == [
        "Starting", "learning", "held out, part 1 of 5", "",
    ]  # fmt: skip
    assert cell.seen[1].endswith(" s so far)")


def test_a_call_that_fails_leaves_nothing_either(cell):
    """The error stands alone under the cell."""
    with pytest.raises(ValueError, match="no such thing"):
        work(["learning", ValueError("no such thing")])
    assert cell.seen[-1] == ""


def test_who_names_somebody_to_tell_is_not_told_twice(cell):
    """The command line prints its own stages."""
    told = []
    work(["learning"], progress=told.append)
    assert (told, cell.seen) == (["learning"], [])


def test_outside_a_notebook_nothing_is_shown(monkeypatch):
    """IPython is loaded here by the tests, yet no kernel runs."""
    cell = Cell()
    monkeypatch.setattr(IPython.display, "display", cell.display)
    assert not live.in_notebook()
    assert work(["learning"]) == 1
    assert cell.seen == []


@pytest.mark.parametrize("name", ["train", "sweep", "compare", "reconcile"])
def test_every_long_call_of_a_notebook_tells(name):
    """What takes more than a few seconds on the demo."""
    assert getattr(Workbench, name).__wrapped__.__name__ == name
