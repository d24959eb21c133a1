"""From an audit sample to matches under a certificate, and back: through the workbench alone."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta

import polars as pl
import pytest
from certified_shop import NOW, answer, make

from recon_kit import cli
from recon_kit.errors import CertificationError, GovernanceError, UnknownNameError
from recon_kit.workbench.bench import Workbench


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """The keyless shop with about half of its 400 orders drawn and answered rightly."""
    folder = tmp_path_factory.mktemp("promises") / "shop"
    bench = make(folder)
    bench.draw_audit(rate=0.5)
    answer(bench)
    return folder


@pytest.fixture
def bench(audited, tmp_path):
    """A copy of it, to be changed."""
    folder = tmp_path / "shop"
    shutil.copytree(audited, folder)
    return Workbench(folder, clock=lambda: NOW)


def approve(bench, named):
    """All three roles say yes."""
    for person in ("ana", "bo", "cy"):
        bench.approve(named, by=person)


def matched(bench):
    """Matches of the current run by method and certificate, and how many pairs are proposed."""
    bench.reconcile()
    run = bench.store.current_run("orders_to_payments")
    with bench.store.snapshot().engine(runs=[run.run_id]) as engine:
        found = engine.rows(
            "select method, certificate_id, count(*) from matches group by all order by all"
        ).rows()
        return found, engine.count("proposals")


def test_nothing_is_matched_before_it_is_proven_approved_and_promoted(bench):
    """Proposals until the certificate is in force; then matches that name it, until rolled back."""
    before, proposed = matched(bench)
    drawn = before[0][2]
    assert [m[0] for m in before] == ["decided"]
    assert proposed == 400 - drawn

    found = bench.certify(by="dee")
    named = found.certificate_id
    assert found.certified
    assert (found.attempt.wrong, found.attempt.labels) == (0, drawn)
    assert bench.promote(named, by="dee").notes[0] == (
        f"certificate {named[:12]} (probable from 1.0 on) waits for data owner (ana), operations "
        "lead (bo), governance reviewer (cy)."
    )
    approve(bench, named)
    assert matched(bench)[1] == 400 - drawn
    assert "is in force, approved by ana (data owner)" in bench.promote(named, by="dee").notes[0]

    certified, proposed = matched(bench)
    assert certified == [("decided", None, drawn), ("probable", named, 400 - drawn)]
    assert proposed == 0
    until = (NOW + timedelta(days=90)).date()
    assert (
        f"orders_to_payments, probable: certified until {until}, at most 2.0% wrong with 95% "
        "confidence"
    ) in bench.matches().about.line()

    bench.rollback(by="ana", reason="a customer complained")
    assert matched(bench)[1] == 400 - drawn
    assert "voided (a customer complained)" in bench.certify(by="dee").text()


def test_asking_again_is_no_second_look(bench):
    """The same labels and matches give the same certificate; nothing is added to the ledger."""
    first = bench.certify(by="dee")
    rows = bench.store.rows("certificates").height

    again = bench.certify(by="eve")

    assert (again.certificate_id, again.attempt.looks) == (first.certificate_id, 0)
    assert bench.store.rows("certificates").height == rows == 2


def test_the_plan_stands_in_the_chain_before_the_look(bench):
    """First the grid, then the answers; both with all that they rest on."""
    bench.certify(by="dee")

    plan, look = bench.store.rows("certificates").sort("seq").iter_rows(named=True)
    told = json.loads(look["json"])
    assert (plan["threshold"], plan["labels"]) == (None, 0)
    assert told["plan_hash"] == plan["certificate_id"]
    assert len(told["label_hashes"]) == look["labels"]
    assert look["expires_at"] == NOW + timedelta(days=90)
    assert bench.store.verify("chain") == []


def test_a_plan_cannot_be_changed_after_a_look(bench):
    """Another rate, margin or confidence would be choosing the answer."""
    bench.certify(by="dee")

    with pytest.raises(CertificationError, match="answers were looked at under it; changing it"):
        bench.certify(by="dee", fmr_max=0.05)


def test_a_look_at_more_labels_spends_half_and_says_so(bench):
    """More draws, answered: the same plan, and the chance of being wrong is halved."""
    bench.certify(by="dee")
    bench.draw_audit(rate=0.6)
    with pytest.raises(CertificationError, match="wait for their answer"):
        bench.certify(by="dee")
    known = bench.store.decisions()["left_key"].implode()
    more = bench.store.rows("audit_draws").drop_nulls("event_key")
    fresh = more.filter(~pl.col("event_key").is_in(known))
    rows = fresh.select(
        left_key="event_key", verdict=pl.lit("no_counterpart"), stream=pl.lit("audit"),
        reconciliation=pl.lit("orders_to_payments"), reviewer=pl.lit("dee"),
        effective_at=pl.lit(NOW), recorded_at=pl.lit(NOW), inclusion_probability=pl.lit(0.6),
    )  # fmt: skip
    bench.store.add_decisions(rows, recorded_at=NOW)

    found = bench.certify(by="dee")

    assert (found.attempt.looks, found.attempt.delta, found.certified) == (1, 0.025, False)
    assert found.attempt.wrong == fresh.height
    assert "1 earlier looks used some of these labels" in found.text()


def test_a_change_is_found_by_the_beginning_of_its_hash(bench):
    """A name that nothing bears, and a person who may not approve, are told why."""
    named = bench.certify(by="ana").certificate_id

    with pytest.raises(UnknownNameError, match="zzzz"):
        bench.promote("zzzz")
    with pytest.raises(GovernanceError, match=r"ana proposed .* and cannot approve it"):
        bench.approve(named, by="ana")
    with pytest.raises(GovernanceError, match="no certificate of orders_to_payments that is meant"):
        bench.rollback()


def test_the_command_line_says_the_same_with_exit_codes(bench, capsys):
    """0 certified, 4 not proven, 3 waiting for approval, 0 in force, 1 refused."""

    def run(*words):
        with pytest.raises(SystemExit) as done:
            cli.main([*words, "--workspace", str(bench.folder), "--json"])
        out = capsys.readouterr().out
        return done.value.code, json.loads(out) if out else None

    code, swept = run("sweep")
    assert code == 0
    assert (swept["proposed"]["fmr"], swept["proposed"]["threshold"] > 0.9) == (0.0, True)
    code, found = run("certify", "--by", "dee")
    named = found["certificate_id"]
    assert (code, found["certified"], found["more_labels_needed"]) == (0, True, 0)
    assert run("certify", "--method", "window", "--by", "dee")[0] == 4
    assert run("promote", named[:10], "--by", "dee")[0] == 3
    assert run("approve", named[:10], "--by", "dee")[0] == 1
    for person in ("ana", "bo", "cy"):
        assert run("approve", named[:10], "--by", person)[0] == 0
    assert run("promote", named[:10], "--by", "dee")[0] == 0
    code, listed = run("promote")
    assert code == 0
    assert {r["kind"]: r["state"] for r in listed["rows"]} == {
        "certificate": "in force", "model": "in force",
    }  # fmt: skip
    assert run("rollback", "--by", "bo")[0] == 0
