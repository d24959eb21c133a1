"""Words of headers and file names that speak for a field or a type of event.

In the languages that shops and banks print. Only `profile` reads them, to propose; a person
confirms. Headers are matched normalised (`feed.normal_header`) and from end to end.
"""

from __future__ import annotations

# Words of a header that speak for a field, best first.
FIELD_WORDS: dict[str, tuple[str, ...]] = {
    "event_ts": (
        r"(conversion|transaction|booking|event|order|payment) (date|time).*",
        r"created( at| date| utc)?.*", r"date( time)?|datetime|timestamp|time",
        r"(processed|posted|paid|settled|closed?|processing|purchase)( at| on| date).*",
        r"posting date|value date|posted date( time)?|datum|fecha.*|buchungstag|buchungsdatum",
        r"(txn|trans|tran|trade) date|date \(.*\)|data.*|buchung",
    ),
    "amount": (
        r"amount|total|gross|betrag|importe|montant|bedrag|importo|valor",
        r"(total|gross|order|transaction|conversion|invoice|sales?) ?(amount|total|price|value).*",
        r"value|price",
        r".*\bamount( \(.*\))?", r"amount (total|due|paid)", r"grand total.*",
        r"(betrag|bedrag|importe|montant|importo) \(.*\)|umsatz",
    ),
    "debit": (
        r"debit.*|withdrawals?.*|(paid|money) out.*|d[ée]bit.*|belastung.*|soll|spent",
        r"cargos?|debe|uscite|addebit[oi]|dare",
    ),
    "credit": (
        r"credit.*|deposits?.*|(paid|money) in.*|cr[ée]dit.*|gutschrift.*|haben|received",
        r"abonos?|haber|entrate|accredit[oi]|avere",
    ),
    "fee": (r"(total )?fees?( amount)?|commission|processing fee",),
    "net": (r"net( amount| total)?",),
    "currency": (
        r"(transaction |order )?currency( code)?|ccy|w(ä|a|ae)hrung",
        r"moneda|divisa|devise|munt|valuta",
    ),
    "order_id": (
        r"order ?(id|number|no|ref|reference|name)?|order #|merchant (order )?reference",
        r".*\border (id|number|no)|sales order",
    ),
    "transaction_id": (
        r"(payment )?(transaction|payment|charge|txn|psp|capture) ?(id|reference|ref|number|no)?",
        r"payment intent( id)?",
        r"balance transaction( id)?|trx",
    ),
    "invoice_number": (r"invoice ?(number|no|id|#)?|doc ?number|num",),
    "payout_id": (r"payout( id| reference)?|settlement id|deposit id|batch( number| id)?",),
    "click_id": (r"gclid|google click id|msclkid|microsoft click id|fbclid|click id|fbc",),
    "status": (r"(financial |payment |order )?status|stage|deal stage|state",),
    "payment_method": (r"payment method.*|method|tender( type)?|payment type",),
    "customer_name": (
        r"(customer|billing|full|client|payer|contact|buyer) ?name|customer|payee|name",
        r"(shipping|ship to|billing address|shipping address) name",
    ),
    "email": (r"((customer|client|payer|contact|buyer|receipt|billing) )?e-?mail( address)?",),
    "phone": (r"((customer|client|payer|contact|buyer|billing) )?(phone|mobile)( number)?",),
    "postcode": (r".*(zip|postal code|post code|postcode)",),
    "customer_id": (r"(customer|client|user|contact) id",),
    "description": (
        r"description|memo|details|narrative|narration|particulars|concepto|libell[ée]|payee",
        r"verwendungszweck|omschrijving.*|mededelingen|descrizione.*|descri(ç|c)[aã]o",
        r"note|reference|label|transaction details|buchungstext|beschreibung.*",
        r"(\w+ ?/ ?)?(description|memo|details|narrative)( ?/ ?\w+)?",
    ),
    "native_id": (
        r"(record |internal |lead |deal |row |unique )?id", r".*\bid",
        r"(journal|entry|document|voucher|receipt|record|line|row)( entry)? ?(no|number|num|#)",
    ),
}  # fmt: skip
FIELD_KINDS: dict[str, frozenset[str]] = {
    "event_ts": frozenset({"timestamp", "date"}),
    **dict.fromkeys(("amount", "debit", "credit", "fee", "net"), frozenset({"amount", "count"})),
    "currency": frozenset({"currency"}),
    "email": frozenset({"email"}),
    "phone": frozenset({"phone"}),
    "customer_name": frozenset({"name", "text"}),
    "postcode": frozenset({"address", "text", "count", "id"}),
}
# Words that speak for a type of event, best first: those of the file's name, which a person chose
# for the whole file, before those of its header.
FILE_WORDS: tuple[tuple[str, str], ...] = (
    ("refund", r"\brefunds?\b"),
    ("adjustment", r"adjustment"),
    ("conversion", r"conversion"),
    ("invoice", r"invoice"),
    ("shipment", r"shipment|fulfil"),
    ("payment", r"payment|charge|transaction"),
    ("payout", r"payout"),
    ("bank_line", r"bank|statement"),
    ("order", r"\border"),
    ("other", r"\bcustomer"),
)
HEADER_WORDS: tuple[tuple[str, str], ...] = (
    ("bank_line", r"\bbalance\b(?! transaction)|\b(iban|booking date|value date|payee)\b"),
    ("bank_line", r"buchungs(tag|datum)|wertstellung|valuta|verwendungszweck"),
    ("bank_line", r"\bstatement\b|bank|d[ée]bit|importe|tegenrekening|mutatiesoort|\bsaldo"),
    ("bank_line", r"\b(narrative|narration|particulars|subcategory|libell[ée]|uscite|cargo)\b"),
    ("bank_line", r"money out|paid out|withdrawal|running bal|withdrawn"),
    ("conversion", r"conversion|gclid|click id"),
    ("invoice", r"invoice"),
    ("shipment", r"shipment|tracking|carrier"),
    ("lead", r"\b(lead|deal|opportunity)\b"),
    ("order", r"\border (date|total|status|currency|items?)\b|\bline ?items?\b"),
    ("payment", r"\b(charge|payment intent|psp|capture|transaction)\b"),
    ("order", r"\border\b"),
)
# Two halves of a customer's name: the same words before them.
GIVEN_NAME = r"(.*?)(first|given|fore) ?name"
FAMILY_NAMES = ("last name", "lastname", "family name", "surname")
# A time that lies ahead of what the row tells.
DUE = r"\b(due|expir\w+|f[äa]llig\w*|[ée]ch[ée]ance|vencimiento|scadenza|vervaldatum)\b"
# A column that says which way money went, and what its marks mean for the account's holder.
DIRECTION = (
    r"d/c|c/d|dr/cr|cr/dr|debit/credit|credit/debit|direction|af bij|soll/haben|s/h|debe/haber"
    r"|(debit or credit|credit/debit)( indicator)?"
)
MARK_SIGNS: dict[str, int] = {
    **dict.fromkeys(
        ("d", "dr", "db", "debit", "debet", "débit", "s", "soll", "af", "out", "dare", "debe",
         "cargo", "-"), -1),
    **dict.fromkeys(
        ("c", "cr", "credit", "crédit", "h", "haben", "bij", "in", "avere", "haber", "abono", "+"),
        1),
}  # fmt: skip
# A currency in the name of a column: `Amount (EUR)`, `Betrag (€)`, `Débit euros`.
HEADER_CURRENCY = r"\(([A-Z]{3})\)|\bin ([A-Z]{3})$|[ _]([A-Z]{3})$"
EURO = r"\beuros?\b"
# Signs in names and amounts; "$" and "¥" are those of the largest that bear them: to be checked.
CURRENCY_SIGNS: dict[str, str] = {"€": "EUR", "£": "GBP", "$": "USD", "¥": "JPY", "₹": "INR"}
# Currencies of another amount than the one that moved the account.
OTHER_CURRENCY = r"foreign|local|original|fremd|origen|transaction currency|exchange"
