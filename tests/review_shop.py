"""A shop whose payments carry no order id: everything is probable, so everything is asked."""

from __future__ import annotations

from recon_kit.present.asking import Round
from recon_kit.workbench.bench import Workbench

SETTINGS = """
[workspace]
name = "corner_shop"
timezone = "UTC"
currency = "EUR"
reviewer = "ana"
as_of = "2026-11-30T12:00:00Z"

[[sources]]
name = "till"
feed = "table"
[sources.layout]
event_type = "order"
timezone = "UTC"
date_formats = ["%Y-%m-%d %H:%M"]
[sources.layout.columns]
native_id = "Receipt"
order_id = "Receipt"
event_ts = "Time"
amount = "Total"
currency = { value = "EUR" }
email = "E-mail"
customer_name = "Name"

[[sources]]
name = "card"
feed = "table"
[sources.layout]
event_type = "payment"
timezone = "UTC"
date_formats = ["%Y-%m-%d %H:%M"]
[sources.layout.columns]
native_id = "Id"
event_ts = "Time"
amount = "Amount"
currency = { value = "EUR" }
email = "Payer"

[[reconciliations]]
name = "orders_to_payments"
left = { sources = ["till"], types = ["order"] }
right = { sources = ["card"], types = ["payment"] }
keys = ["order_id"]
settles_within = "5d"
sign_off_over = { EUR = "10000.00" }
[reconciliations.probable]
enabled = true
review_min = 0.01
uncertified = "review"
"""
NAMES = (
    "Ana Diaz", "Bo Lund", "Cy Weiss", "Di Roca", "Eva Holm", "Finn Osei", "Gia Conti", "Hal Reed",
    "Ida Berg", "Jo Marsh", "Kai Wolf", "Lea Novak", "Max Prior", "Nia Okoro", "Ole Dahl",
    "Pia Sorel", "Quin Hart", "Rae Lowe", "Sam Vega", "Tea Krause", "Ugo Ricci", "Vera Lind",
    "Wim Baker", "Xia Moran",
)  # fmt: skip


def mail(name):
    return f"{name.lower().replace(' ', '.')}@example.com"


def files():
    """24 orders and their payments; some with a typo, a fee off, or two that look alike."""
    till, card = ["Receipt,Time,Total,E-mail,Name"], ["Id,Time,Amount,Payer"]
    for i, name in enumerate(NAMES):
        day, cents = 2 + i % 20, 2_000 + 317 * i
        total = f"{cents // 100}.{cents % 100:02d}"
        till.append(f"#{1001 + i},2026-11-{day:02d} 10:{i:02d},{total},{mail(name)},{name}")
        payer = mail(name).replace("example", "exampel" if i % 6 == 4 else "example")
        paid = cents - (40 if i % 6 == 2 else 0)
        amount = f"{paid // 100}.{paid % 100:02d}"
        card.append(f"c{i + 1},2026-11-{day:02d} 11:{i:02d},{amount},{payer}")
        if i % 8 == 3:
            card.append(f"c{i + 1}b,2026-11-{day + 1:02d} 11:{i:02d},{amount},{payer}")
    return "\n".join(till) + "\n", "\n".join(card) + "\n"


def make(folder, settings=SETTINGS, card_ids=None):
    """The shop, taken in and reconciled; `card_ids` renames payments."""
    folder.mkdir(parents=True)
    (folder / "recon.toml").write_text(settings, encoding="utf-8")
    till, card = files()
    for old, new in (card_ids or {}).items():
        card = card.replace(f"\n{old},", f"\n{new},")
    for name, text in (("till", till), ("card", card)):
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    bench = Workbench(folder)
    for name in ("till", "card"):
        bench.ingest(name, folder / f"{name}.csv")
    bench.reconcile()
    return bench


def sit(bench, **how):
    """A sitting of one reviewer."""
    return Round(bench.review(**how).desk, blind=how.get("blind", False))


def press(asking, verdict):
    """Answer what is on the screen, of the candidate that is chosen."""
    question = asking.state()["question"]
    chosen = next((c["key"] for c in question["candidates"] if c["chosen"]), None)
    return asking.handle(
        {"type": "decide", "question": question["id"], "verdict": verdict, "candidate": chosen}
    )
