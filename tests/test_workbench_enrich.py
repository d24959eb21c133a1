"""Customers' records in a workspace of native files: what is found through them, and what is said.

Orders name their customer by id alone; the CRM's contacts know who that is; the card processor
knows addresses, some of them misspelt, and no order.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import polars as pl
import pytest
from matching_world import event, order, payment, rec, reconciled

import recon_kit as rk
from recon_kit.present import screen
from recon_kit.resolution import alarms

NOW = datetime(2026, 11, 20, 11, tzinfo=UTC)
CUSTOMERS = 'customers = { sources = ["hubspot"], of = ["shop"] }\n'
TOML = """
[workspace]
name = "enriched"
currency = "EUR"
as_of = "2026-11-20T12:00:00Z"
[[sources]]
name = "shop"
feed = "table"
owner = "shop_desk"
[sources.layout]
event_type = "order"
timezone = "UTC"
date_formats = ["%Y-%m-%d %H:%M"]
[sources.layout.columns]
native_id = "Order"
order_id = "Order"
customer_id = "Customer"
event_ts = "Placed"
amount = "Total"
currency = { value = "EUR" }
[[sources]]
name = "card"
feed = "table"
owner = "finance"
[sources.layout]
event_type = "payment"
timezone = "UTC"
date_formats = ["%Y-%m-%d %H:%M"]
[sources.layout.columns]
native_id = "Id"
event_ts = "Paid"
amount = "Amount"
currency = { value = "EUR" }
email = "E-mail"
[[sources]]
name = "hubspot"
feed = "table"
owner = "crm_desk"
[sources.layout]
event_type = "other"
mutable = ["email", "phone", "customer_name"]
[sources.layout.columns]
native_id = "Record ID"
customer_id = "Shop customer"
customer_name = { join = ["First Name", "Last Name"] }
email = "Email"
phone = "Phone Number"
[[reconciliations]]
name = "orders_to_payments"
left = { sources = ["shop"], types = ["order"] }
right = { sources = ["card"], types = ["payment"] }
keys = ["order_id"]
settles_within = "5d"
owner = "finance"
"""
NAMES = [
    "ana.diaz", "bo.chen", "cy.young", "dora.lind", "emil.kant", "fay.wong", "gus.berg", "hal.ode",
    "ida.mann", "jo.stein", "kim.park", "lea.roth",
]  # fmt: skip


def misspelt(name, number):
    """Every third payer mistypes the domain."""
    return f"{name}@{'exmaple' if number % 3 == 2 else 'example'}.com"


def files():
    """Twelve orders of 49.00 in two days, each paid a quarter of an hour later or so."""
    orders, payments, contacts = [], [], []
    for number, name in enumerate(NAMES):
        first, last = name.title().split(".")
        when = f"2026-11-0{2 + number % 2} 10:{number:02}"
        orders.append(f"#{1001 + number},C-{number},{when},49.00")
        payments.append(f"ch_{name},2026-11-0{2 + number % 2} 10:30,49.00,{misspelt(name, number)}")
        contacts.append(f"{700 + number},C-{number},{first},{last},{name}@example.com,")
    return orders, payments, contacts


# Of the last day, so that both sides' files reach beyond the settlement of all others.
LAST_ORDER = "#1900,,2026-11-19 09:00,7.00"
LAST_PAYMENT = "ch_zoe,2026-11-19 18:00,80.00,zoe@example.net"


def workspace(folder, orders, payments, contacts, customers=CUSTOMERS):
    text = TOML + customers
    text += '[reconciliations.probable]\nuncertified = "auto"\n'
    folder.mkdir(exist_ok=True)
    (folder / "recon.toml").write_text(text, encoding="utf-8")
    bench = rk.Workbench(folder, clock=lambda: NOW)
    for source, head, lines in (
        ("shop", "Order,Customer,Placed,Total", [*orders, LAST_ORDER]),
        ("card", "Id,Paid,Amount,E-mail", [*payments, LAST_PAYMENT]),
        ("hubspot", "Record ID,Shop customer,First Name,Last Name,Email,Phone Number", contacts),
    ):
        if lines:
            (folder / f"{source}.csv").write_text("\n".join([head, *lines, ""]), encoding="utf-8")
            bench.ingest(source, folder / f"{source}.csv")
    return bench


def pairs(bench):
    found = bench.matches().frame.select("left_ids", "right_ids").sort("left_ids")
    return found.rows()


@pytest.fixture
def enriched(tmp_path):
    bench = workspace(tmp_path / "crm", *files())
    bench.reconcile()
    return bench


def test_orders_that_nothing_told_apart_find_their_payments(tmp_path, enriched):
    """0 of 12 orders are matched without the CRM, all 12 with it, each with its customer's card."""
    without = workspace(tmp_path / "plain", *files(), customers="")
    without.reconcile()

    assert pairs(without) == []
    assert pairs(enriched) == [(f"#{1001 + n}", f"ch_{name}") for n, name in enumerate(NAMES)]
    assert without.queue().frame.height > 0
    assert enriched.queue().frame.is_empty()


def test_what_came_from_a_record_is_said_wherever_it_is_shown(enriched):
    """The stored evidence, `recon why` and its waterfall name the CRM, and so does the run."""
    run = enriched.reconcile()
    with enriched.store.snapshot().engine(runs=run.frame["run_id"].to_list()) as engine:
        kept = engine.rows("select levels from pair_evidence order by left_key, right_key")
    said = {json.loads(levels)["customer"] for levels in kept["levels"]}
    why = enriched.why("#1001")

    assert said == {
        "same e-mail (e-mail of shop from hubspot)",
        "same e-mail user, its domain misspelt (e-mail of shop from hubspot)",
    }
    assert "customer: same e-mail (e-mail of shop from hubspot)" in why.weights["step"].to_list()
    assert "(e-mail of shop from hubspot)" in why.candidates["agreement"][0]
    assert why.candidates["near_by"][0] == "customer"


def test_the_review_screen_shows_the_record_and_marks_it(enriched):
    """Masked like any address, and told to come from the CRM."""
    settings = enriched.folder / "recon.toml"
    settings.write_text(settings.read_text().replace('"auto"', '"review"'), encoding="utf-8")
    bench = rk.Workbench(enriched.folder, clock=lambda: NOW)
    bench.reconcile()
    desk = bench.review(reviewer="ana").desk
    first = next(
        question
        for question in map(desk.question, desk.listing()["question_id"])
        if question.asked[0]["native_id"] == "#1001"
    )

    told = screen.message(first, 0, blind=False)

    rows = {row["name"]: row for row in told["rows"]}
    assert rows["email"]["words"] == "same (left: from hubspot)"
    assert rows["customer_name"]["words"] == "only left (left: from hubspot)"
    assert "ana.diaz@" not in json.dumps(told)
    assert rows["email"]["left"][0][0].endswith("@example.com")
    assert told["evidence"]["steps"][-1]["found"] == "same e-mail (e-mail of shop from hubspot)"


def test_a_wrong_record_joins_nobody_and_a_household_is_asked_about(tmp_path):
    """The CRM gives order #1001 the address of Bo, who has an order of his own, paid once.

    Two orders compete for one payment then, equally well: a person is asked, nothing is booked.
    """
    orders, payments, contacts = files()
    contacts[0] = contacts[0].replace("ana.diaz@", "bo.chen@")
    orders[1] = orders[1].replace("2026-11-03 10:01", "2026-11-02 10:00")
    payments[1] = payments[1].replace("2026-11-03", "2026-11-02")
    bench = workspace(tmp_path / "wrong", orders, payments, contacts)
    bench.reconcile()

    found = dict(pairs(bench))

    assert "#1001" not in found
    assert "#1002" not in found
    assert len(found) == 10


def test_customers_that_no_record_tells_are_a_case(tmp_path):
    """Two orders of 49.00 name C-0 and C-1, whom the CRM's file lacks; the case closes with it."""
    orders, payments, contacts = files()
    bench = workspace(tmp_path / "part", orders, payments, contacts[2:])
    bench.reconcile()
    cases = bench.queue().frame.filter(pl.col("kind") == "missing_enrichment")

    assert cases.select("amount_minor", "owner", "priority").rows() == [(None, "finance", "P3")]
    assert json.loads(cases["diffs"][0])["why"] == (
        "2 open items (98.00 EUR) name 2 customers of whom no record is known: hubspot"
    )
    (tmp_path / "part" / "more.csv").write_text(
        "Record ID,Shop customer,First Name,Last Name,Email,Phone Number\n"
        + "\n".join([*contacts[:2], ""])
    )
    bench.ingest("hubspot", tmp_path / "part" / "more.csv")
    bench.reconcile()
    assert bench.queue().frame.filter(pl.col("kind") == "missing_enrichment").is_empty()
    assert len(pairs(bench)) == 12


@pytest.mark.parametrize(
    ("known", "of", "untold"),
    [
        # the processor's own ids are none of the CRM's: they are not missing there
        ("c1", (), ["o2"]),
        ("c1", ("shop", "stripe"), ["o2", "p1"]),
        # no id is known at all: nobody can tell whose ids these are, so all of them are missing
        ("c9", (), ["o1", "o2", "p1"]),
        ("c9", ("shop",), ["o1", "o2"]),
    ],
)
def test_ids_that_the_records_never_know_are_another_systems(known, of, untold):
    """Which open items count as named and untold, by whose ids the records know."""
    events = [
        order("o1", 5000, customer_id="c1"),
        order("o2", 900, customer_id="c2"),
        payment("p1", 70, customer_id="cus_8"),
        event("k1", "crm", "other", None, customer_id=known, event_ts=None),
    ]
    declared = rec(probable={"enabled": True}, customers={"sources": ["crm"], "of": list(of)})
    with reconciled(events, declared) as world:
        found = world.engine.rows(alarms.untold_sql(declared))

    assert sorted(found["event_key"]) == untold


def test_an_erased_customer_is_told_of_no_more(enriched):
    """After `erase` of contact 700 the next run hears nothing of it, nor does who asks why."""
    done = enriched.erase("700", reason="asked for it", confirm=True, actor="ana")
    enriched.reconcile()
    why = enriched.why("#1001")

    assert done.frame["source"].to_list() == ["hubspot"]
    assert not any("hubspot" in told for told in why.candidates["agreement"])
    assert "hubspot" in enriched.why("#1003").candidates["agreement"][0]


def test_a_setting_of_customers_that_is_new_learns_a_new_model(tmp_path):
    """A model learned without records knows nothing of addresses: the next run learns one."""
    bench = workspace(tmp_path / "later", *files(), customers="")
    bench.reconcile()
    text = (tmp_path / "later" / "recon.toml").read_text()
    text = text.replace("[reconciliations.probable]", CUSTOMERS + "[reconciliations.probable]")
    (tmp_path / "later" / "recon.toml").write_text(text)
    bench = rk.Workbench(tmp_path / "later", clock=lambda: NOW)

    run = bench.reconcile()

    assert len(pairs(bench)) == 12
    assert bench.reconcile().frame["fresh"].to_list() == [False]
    assert run.frame["fresh"].to_list() == [True]
