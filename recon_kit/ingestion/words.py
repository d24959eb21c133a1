"""Words of headers and file names that speak for a field or a type of event.

In the languages that shops and banks print. Only `profile` reads them, to propose; a person
confirms. Headers are matched normalised (`feed.normal_header`) and from end to end.
"""

from __future__ import annotations

# Words of a header that speak for a field, best first.
FIELD_WORDS: dict[str, tuple[str, ...]] = {
    "event_ts": (
        r"(conversion|transaction|booking|event|order|payment) (date|time).*",
        r"created( at| date| utc)?.*", r"date( ?/? ?time)?|datetime|timestamp|time",
        r"(processed|posted|paid|settled|closed?|processing|purchase|booked)( at| on| date).*",
        r"posting date|value date|posted date( time)?|datum|fecha.*|buchungstag|buchungsdatum",
        r"belegdatum|rechnungsdatum|date op.*",
        r"(txn|trans|tran|trade) date|date \(.*\)|data.*|buchung",
    ),
    "amount": (
        r"amount|total|gross|betrag|importe|montant|bedrag|importo|valor",
        r"(total|gross|order|transaction|conversion|invoice|sales?) ?(amount|total|price|value).*",
        r"value|price",
        r"total (collected|charged|paid)",
        r".*\bamount( \(.*\))?", r"amount (total|due|paid)", r"grand total.*|brutto.*",
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
    "fee": (r"(total )?fees?( amount)?|commission( amount)?|processing fee|geb(ü|ue)hr(en)?",),
    "net": (r"net( amount| total)?|netto",),
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
        r"balance transaction( id)?|trx|transaktionscode|transaktions-?nr\.?",
    ),
    "invoice_number": (
        r"invoice ?(number|no|#)?|rechnungsn(ummer|r\.?)|belegfeld 1",
        r"invoice id|doc ?number|num",
    ),
    "payout_id": (r"payout( id| reference)?|settlement id|deposit id|batch( number| id)?",),
    "click_id": (r"gclid|google click id|msclkid|microsoft click id|fbclid|click id|fbc",),
    "status": (r"(financial |payment |order )?status|stage|deal stage|state", r"payout status"),
    "payment_method": (r"payment method.*|method|tender( type)?|payment type",),
    "customer_name": (
        r"(customer|billing|full|client|payer|contact|buyer) ?name|customer|payee|name",
        r"(shipping|ship to|billing address|shipping address) name",
        r"(lead |primary )?(guest|travell?er|booker|passenger)( name(\(s\))?)?|booked by",
    ),
    "email": (r"((customer|client|payer|contact|buyer|receipt|billing) )?e-?mail( address)?",),
    "phone": (r"((customer|client|payer|contact|buyer|billing) )?(phone|mobile)( number)?",),
    "postcode": (r".*(zip|postal code|post code|postcode)",),
    "customer_id": (r"(customer|client|user|contact) id",),
    "description": (
        r"description|(\w+ ?/ ?)?verwendungszweck|narrative|narration|particulars|concepto",
        r"memo|details|libell[ée]|payee",
        r"omschrijving.*|mededelingen|descrizione.*|descri(ç|c)[aã]o",
        r"note|reference|payment reference|label|transaction details|buchungstext|beschreibung.*",
        r"(\w+ ?/ ?)?(description|memo|details|narrative)( ?/ ?\w+)?",
    ),
    "native_id": (
        r"(record |internal |lead |deal |row |unique )?id", r".*\bid", r"identificador|identifiant",
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
    ("payment", r"\b(captured|payment source type|seller message|card funding)\b"),
    ("payment", r"\bsettlement (amount|currency|reference)\b"),
    ("booking", r"\b(check[- ](in|out)|travel date|travell?ers?|nights|guest name)\b"),
    ("lead", r"\b(deal stage|stage ?name|opportunity)\b"),
    ("bank_line", r"(?<!open )\bbalance\b(?! transaction)"),
    ("bank_line", r"\b(iban|booking date|value date|payee)\b"),
    ("bank_line", r"buchungs(tag|datum)|wertstellung|valuta|verwendungszweck"),
    ("bank_line", r"\bstatement\b|bank|d[ée]bit|importe|tegenrekening|mutatiesoort|\bsaldo"),
    ("bank_line", r"\b(narrative|narration|particulars|subcategory|libell[ée]|uscite|cargo)\b"),
    ("bank_line", r"money out|paid out|withdrawal|running bal|withdrawn"),
    ("conversion", r"conversion|gclid|click id|\b(fbc|fbp|fbclid|msclkid)\b"),
    ("invoice", r"invoice|\bdue date\b"),
    ("shipment", r"shipment|tracking|carrier"),
    ("lead", r"\b(lead|deal|opportunity)\b"),
    ("order", r"\border (date|total|status|currency|items?)\b|\bline ?items?\b"),
    ("payment", r"\b(charge|payment intent|psp|capture|transaction)\b"),
    ("order", r"\border\b"),
)
# Two halves of a customer's name: the same words before them.
GIVEN_NAME = r"(.*?)(first|given|fore) ?name"
FAMILY_NAMES = ("last name", "lastname", "family name", "surname")
# What a list of payouts calls the number that its bank line bears; a bank's own is another thing.
PAYOUT_AT_BANK = r"bank reference( id)?"
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
# Money out and money in, as two columns are called that are else called alike.
OUT_AND_IN: tuple[tuple[str, str], ...] = (
    ("debit", "credit"), ("debits", "credits"), ("debet", "kredit"), ("débit", "crédit"),
    ("débito", "crédito"), ("debito", "credito"), ("dare", "avere"), ("debe", "haber"),
    ("soll", "haben"), ("belastung", "gutschrift"), ("uscite", "entrate"), ("uscita", "entrata"),
    ("addebito", "accredito"), ("addebiti", "accrediti"), ("cargo", "abono"),
    ("cargos", "abonos"), ("withdrawal", "deposit"), ("withdrawals", "deposits"), ("out", "in"),
    ("af", "bij"), ("terhelés", "jóváírás"), ("ut", "inn"), ("出金", "入金"),
)  # fmt: skip
# The line of a service's own charges, or of tax on them, that is beside its fee.
TAX_ON_FEE = r"taxes on fee|(tax|vat|gst) on fees?"
CONTRA_ACCOUNT = ("gegenkonto", "contra account", "offset account", "contrapartida")
TIME_OF_DAY = r"time|uhrzeit|heure|hora|ora|tijd|time of day"
TIME_ZONE = r"time ?zone|zeitzone|fuseau horaire|zona horaria|fuso orario|tijdzone"
# A currency in the name of a column: `Amount (EUR)`, `Betrag (€)`, `Débit euros`.
HEADER_CURRENCY = r"\(([A-Z]{3})\)|\bin ([A-Z]{3})$|[ _]([A-Z]{3})$"
EURO = r"\beuro[sa]?\b"
# Signs in names and amounts; "$" and "¥" are those of the largest that bear them: to be checked.
CURRENCY_SIGNS: dict[str, str] = {
    "€": "EUR", "£": "GBP", "$": "USD", "¥": "JPY", "円": "JPY",
    "₹": "INR", "zł": "PLN", "Kč": "CZK",
}  # fmt: skip
# What an account holds after a row, not what the row moved.
BALANCE = r"balance|saldo|solde|bakiye|残高|zůstatek|egyenleg|stan konta|running|remaining"
# Currencies of another amount than the one that moved the account.
OTHER_CURRENCY = (
    r"foreign|local|\borig|fremd|origen|transaction currency|exchange|\bfee|presentment|facing"
)
