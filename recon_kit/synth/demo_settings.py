"""The `recon.toml` that comes with the twin: sources, reconciliations and one chain."""

from __future__ import annotations

from datetime import datetime

_TEXT = """# The twin of an invented shop. Its truth is known (folder `truth`), so every rate that a
# screen shows can be held against what really happened.

[workspace]
name = "nordlys"
timezone = "America/New_York"   # business zone: weeks, clocks, reports
currency = "USD"
holidays = "US"
{reports}as_of = "{as_of}"   # the clock stands still when the files end

# --- Sources: who sends what, and who answers for it -------------------------------------------

[[sources]]
name = "shop"
feed = "shopify.orders_csv"
owner = "marketing_ops"
backup = "shop_desk"
cadence = "1d"

[[sources]]
name = "wholesale"
feed = "table"
owner = "sales_desk"
cadence = "7d"

[sources.layout]
event_type = "order"
delimiter = ";"
timezone = "Europe/Berlin"
date_formats = ["%d.%m.%Y"]
decimal = ","
thousands = "."
footer_regex = "^Total;"

[sources.layout.columns]
native_id = "Document"
order_id = "Document"
invoice_number = "Invoice"
event_ts = "Order date"
amount = "Gross"
currency = "Currency"
status = "Status"
customer_name = "Contact"
email = "E-mail"

[[sources]]
name = "stripe_us"
feed = "stripe.payout_reconciliation"
owner = "finance"
cadence = "1d"
timezone = "America/New_York"   # the zone that its reports are requested in

[[sources]]
name = "stripe_eu"
feed = "stripe.payout_reconciliation"
owner = "finance"
cadence = "7d"
timezone = "Europe/Berlin"

[[sources]]
name = "ads"
feed = "google_ads.offline_conversions"
owner = "growth"
cadence = "7d"
timezone = "America/Los_Angeles"

[[sources]]
name = "bank"
feed = "table"
owner = "treasury"
cadence = "1d"

[sources.layout]
event_type = "bank_line"
skip_rows = 3
timezone = "America/New_York"
date_formats = ["%m/%d/%Y"]
thousands = ","

[sources.layout.columns]
native_id = "Bank Reference"
event_ts = "Booking Date"
amount = "Amount"
currency = "Currency"
description = "Description"
payout_id = {{ from = "Description", extract = '(po_\\w+)' }}

# --- Reconciliations: what ought to agree ------------------------------------------------------

[[reconciliations]]
name = "orders_to_payments"
right = {{ sources = ["stripe_us", "stripe_eu"], types = ["payment"] }}
attach = ["refund", "chargeback"]
keys = ["order_id", "transaction_id", "invoice_number"]
cardinality = "one_to_many"
tolerance = {{ minor_units = 2 }}
window = {{ before = "3d", after = "30d" }}
settles_within = "10bd"
owner = "marketing_ops"

[reconciliations.left]
sources = ["shop", "wholesale"]
types = ["order"]

[reconciliations.left.where]
# PayPal, cash on delivery, gift cards and test orders have no file here: they stay outside.
payment_method = ["Stripe", "gift_card + Stripe"]
status_not = ["voided", "pending"]
amount_minor_min = 1

[reconciliations.sign_off_over]   # a person decides above
USD = "2500.00"
EUR = "5000.00"
GBP = "5000.00"
CAD = "3000.00"
JPY = "400000"
KWD = "800.000"
BHD = "900.000"

[reconciliations.probable]
enabled = true
review_min = 0.20
auto_match_floor = 0.95
margin_min = 0.10
uncertified = "auto"            # a demonstration: every screen says "uncertified"

[[reconciliations]]
name = "payments_to_payouts"
right = {{ sources = ["stripe_us", "stripe_eu"], types = ["payout"] }}
measure = {{ left = "net", right = "amount" }}
keys = ["payout_id"]
cardinality = "many_to_one"
settles_within = "7d"
owner = "finance"

[reconciliations.left]
sources = ["stripe_us", "stripe_eu"]
types = ["payment", "refund", "chargeback", "fee"]

[reconciliations.probable]
enabled = false

[reconciliations.decomposed]
enabled = true                  # payouts at once, which their members do not name
uncertified = "auto"

[[reconciliations]]
name = "payouts_to_bank"
left = {{ sources = ["stripe_us", "stripe_eu"], types = ["payout"] }}
right = {{ sources = ["bank"], types = ["bank_line"], where = {{ amount_minor_min = 1 }} }}
keys = ["payout_id"]
cardinality = "many_to_one"
settles_within = "5bd"
owner = "treasury"

[reconciliations.window]
before = "1d"
after = "10d"
enabled = true
uncertified = "auto"

[reconciliations.grouped]
enabled = true                  # two payouts in one line of the bank
uncertified = "auto"

[reconciliations.probable]
enabled = false

[[reconciliations]]
name = "orders_to_conversions"
right = {{ sources = ["ads"], types = ["conversion"] }}
keys = ["order_id", "click_id"]
cardinality = "one_to_one"
tolerance = {{ minor_units = 1, percent = "0.5" }}
window = {{ before = "1d", after = "7d" }}
settles_within = "5bd"
owner = "growth"

[reconciliations.left]
sources = ["shop"]
types = ["order"]

[reconciliations.left.where]
channel = ["google"]            # only orders that an ad brought ought to have a conversion
status_not = ["voided"]
amount_minor_min = 1

[reconciliations.probable]
enabled = true
review_min = 0.20
auto_match_floor = 0.95
margin_min = 0.10
uncertified = "auto"

[[chains]]
name = "order_to_cash"
steps = ["orders_to_payments", "payments_to_payouts", "payouts_to_bank"]

# --- Governance: who must approve that a model or a threshold matches by itself ------------------

[governance.roles]              # whoever proposes a change cannot approve it
data_owner = ["dana"]
operations_lead = ["omar"]
governance_reviewer = ["gita"]
"""


def demo_settings(as_of: datetime, reports: str | None = None) -> str:
    """Text of `recon.toml`.

    Args:
        as_of: the time at which the workspace's clock stands still.
        reports: where reports go, relative to the file; the product's default when not given.
    """
    line = f'reports = "{reports}"\n' if reports else ""
    return _TEXT.format(as_of=as_of.isoformat(), reports=line)
