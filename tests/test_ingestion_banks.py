"""Statements as banks of many countries print them: profiled, pasted, taken in; days and signs."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from recon_kit.ingestion.preamble import TableStart, find_table
from recon_kit.ingestion.profile import profile_file
from recon_kit.workbench.bench import Workbench

# What every statement below tells: 1,250.00 came in on 14 March, 12.34 went out on the 15th.
TOLD = [("2026-03-14", 125_000), ("2026-03-15", -1_234)]
STATEMENTS = {
    "two columns, withdrawal and deposit": ("USD", """\
Date,Narration,Chq./Ref.No.,Value Dt,Withdrawal Amt.,Deposit Amt.,Closing Balance
14/03/26,NEFT CR STRIPE,N001,14/03/26,,"1,250.00","1,02,250.00"
15/03/26,UPI KIOSK,N002,15/03/26,12.34,,"1,02,237.66"
"""),
    "Italian, entrate and uscite, which carry a minus": ("USD", """\
Data_Operazione,Data_Valuta,Entrate,Uscite,Descrizione
14/03/2026,14/03/2026,"1.250,00",,Bonifico
15/03/2026,15/03/2026,,"-12,34",Pagamento
"""),
    "Dutch, marks Bij and Af beside amounts without a sign": ("EUR", """\
"Datum","Naam","Rekening","Code","Af Bij","Bedrag (EUR)","Mededelingen"
"20260314","Stripe","NL00","GT","Bij","1250,00","PO1"
"20260315","Kiosk","NL00","BA","Af","12,34","Pas"
"""),
    "direction behind each amount": ("USD", """\
Txn Date,Particulars,Amount,Balance
14/03/2026,STRIPE,"1,250.00 Cr","2,250.00 Cr"
15/03/2026,KIOSK,12.34 Dr,"2,237.66 Cr"
"""),
    "a delimiter after the last cell of every row": ("USD", """\
Details,Posting Date,Description,Amount,Type,Balance,Slip
CREDIT,03/14/2026,"TRANSFER",1250.00,ACH,2250.00,,
DEBIT,03/15/2026,"KIOSK",-12.34,CARD,2237.66,,
"""),
    "a summary above the table": ("USD", """\
Description,,Summary Amt.
Beginning balance as of 03/14/2026,,"1,000.00"
Total credits,,"1,250.00"
Ending balance as of 03/15/2026,,"2,237.66"

Date,Description,Amount,Running Bal.
03/14/2026,"TRANSFER","1,250.00","2,250.00"
03/15/2026,"KIOSK","-12.34","2,237.66"
"""),
    "German, account and balance above, two columns of one name": ("EUR", """\
Umsatzanzeige;Datei erstellt am: 16.03.2026

IBAN;DE00
Saldo;2.237,66;EUR

Buchung;Auftraggeber;Verwendungszweck;Saldo;Währung;Betrag;Währung
14.03.2026;Stripe;PO1;2.250,00;EUR;1.250,00;EUR
15.03.2026;Kiosk;Zeitung;2.237,66;EUR;-12,34;EUR
"""),
    "German, quoted, the euro in the name of the column": ("EUR", """\
"Girokonto";"DE00"
"Kontostand vom 16.03.2026:";"2.237,66 €"
""
"Buchungsdatum";"Status";"Zahlungsempfänger";"Verwendungszweck";"Betrag (€)"
"14.03.26";"Gebucht";"Ich";"PO1";"1.250"
"15.03.26";"Gebucht";"Kiosk";"Zeitung";"-12,34"
"""),
    "Swiss, two columns, a mark after the last cell": ("CHF", """\
Kontonummer:;0000;
Bewertet in:;CHF;
Anzahl Transaktionen:;2;

Buchungsdatum;Währung;Belastung;Gutschrift;Saldo;Beschreibung1;
2026-03-14;CHF;;1250.00;2250.00;Stripe;
2026-03-15;CHF;-12.34;;2237.66;Kiosk;
"""),
    "French, spaces group thousands, the euro in words": ("EUR", """\
Téléchargement du 16/03/2026;

Date;Libellé;Débit euros;Crédit euros;
14/03/2026;VIR STRIPE;;1 250,00;
15/03/2026;CB KIOSQUE;12,34;;
"""),
    "Italian, dare and avere behind the word for amount": ("USD", """\
Data;Valuta;Importo Dare;Importo Avere;ID operazione
14/03/2026;14/03/2026;;1.250,00;A1B2
15/03/2026;15/03/2026;12,34;;C3D4
"""),
    "Hungarian, days that end in a dot": ("USD", """\
Könyvelés dátuma;Terhelés;Jóváírás;Partner neve
2026.03.14.;;1 250,00;Stripe
2026.03.15.;12,34;;Kiosk
"""),
    "two columns that no word tells apart, never filled together": ("USD", """\
Date,Pano,Otto,Text
2026-03-14,1250.00,0.00,Stripe
2026-03-15,0.00,-12.34,Kiosk
"""),
    "Swiss, an apostrophe groups thousands": ("CHF", """\
Buchungsdatum;Währung;Belastung;Gutschrift;Saldo
2026-03-14;CHF;;1'250.00;2'250.00
2026-03-15;CHF;-12.34;;2'237.66
"""),
    "German, balances among the rows": ("EUR", """\
Buchungstag;Valuta;Vorgang/Verwendungszweck;Währung;Umsatz;Soll/Haben
14.03.2026;14.03.2026;Stripe;EUR;1.250,00;H
15.03.2026;15.03.2026;Kiosk;EUR;12,34;S
01.03.2026;;Anfangssaldo;EUR;1.000,00;H
16.03.2026;;Endsaldo;EUR;2.237,66;H
"""),
    "Portuguese, the balance beside": ("USD", """\
Data mov.;Data valor;Descrição;Débito;Crédito;Saldo contabilístico
14-03-2026;14-03-2026;STRIPE;;1.250,00;2.250,00
15-03-2026;15-03-2026;QUIOSQUE;12,34;;2.237,66
"""),
    "Norwegian, out of and into the account": ("USD", """\
"Dato";"Forklaring";"Rentedato";"Ut fra konto";"Inn på konto"
"14.03.2026";"Stripe utbetaling";"14.03.2026";"";"1250,00"
"15.03.2026";"Kiosk";"16.03.2026";"12,34";""
"""),
    "Polish, a mark before each name, the currency behind": ("PLN", """\
#Data operacji;#Opis operacji;#Rachunek;#Kwota;
2026-03-14;"PRZELEW STRIPE";"eKonto";1 250,00 PLN;
2026-03-15;"KIOSK";"eKonto";-12,34 PLN;
"""),
    "Turkish, lira by two letters": ("TRY", """\
Tarih;Açıklama;Tutar;Bakiye
14.03.2026;STRIPE;1.250,00 TL;2.250,00 TL
15.03.2026;BUFE;-12,34 TL;2.237,66 TL
"""),
    "Japanese, whole yen in two columns": ("JPY", """\
日付,内容,出金金額(円),入金金額(円),残高(円)
2026/03/14,ストライプ,,125000,225000
2026/03/15,キオスク,1234,,223766
"""),
    "a card, whose sales go out": ("USD", """\
Transaction Date,Post Date,Description,Category,Type,Amount
03/14/2026,03/14/2026,Thank you,,Payment,1250.00
03/15/2026,03/16/2026,KIOSK,Food,Sale,-12.34
"""),
    "no header at all": ("USD", """\
"03/14/2026","1250.00","*","","TRANSFER"
"03/15/2026","-12.34","*","1021","CHECK"
"""),
    "months by name": ("USD", """\
Date,Description,Debit,Credit,Balance
14-Mar-2026,TRANSFER,,1250.00,2250.00
15-Mar-2026,KIOSK,12.34,,2237.66
"""),
    "the account's currency in the column, another one beside": ("EUR", """\
"Date","Payee","Payment reference","Amount (EUR)","Foreign amount","Type Foreign Currency"
"2026-03-14","Stripe","PO1","1250.0","",""
"2026-03-15","Kiosk","","-12.34","-13.5","USD"
"""),
}  # fmt: skip


@pytest.mark.parametrize("kind", STATEMENTS)
def test_a_statement_is_taken_in_as_its_profile_proposes(kind, tmp_path):
    """Two rows, each with its day, its sign and its currency; nothing set aside."""
    currency, text = STATEMENTS[kind]
    path = tmp_path / "statement.csv"
    path.write_text(text, encoding="utf-8")
    proposed = profile_file(path).toml
    (tmp_path / "recon.toml").write_text(
        '[workspace]\nname = "bank"\ntimezone = "UTC"\n\n' + proposed, encoding="utf-8"
    )
    bench = Workbench(tmp_path, clock=lambda: datetime(2026, 3, 20, tzinfo=UTC))
    taken = bench.ingest("statement", path)
    with bench.store.snapshot().engine() as engine:
        told = engine.rows(
            "select strftime(event_ts, '%Y-%m-%d') as day, amount, currency, event_type"
            " from events where amount is not null order by event_ts"
        )

    assert taken.frame["quarantined"].to_list() == [0]
    assert told.select("day", "amount").rows() == TOLD
    assert set(told["currency"]) == {currency}


def test_half_of_a_pair_of_columns_is_never_the_amount_alone(tmp_path):
    """Only the withdrawals are worded: nothing is proposed that would lose the other column."""
    path = tmp_path / "statement.csv"
    path.write_text("Date,Withdrawal,Pay-ins\n2026-03-14,,1250.00\n2026-03-15,12.34,\n", "utf-8")
    proposed = profile_file(path).toml

    assert 'sign = "debit_credit"' not in proposed
    assert 'debit = "Withdrawal"' not in proposed


def test_a_field_that_stands_twice_is_not_proposed(tmp_path):
    """Two columns `Amount`: neither the first nor the second is taken for the amount."""
    path = tmp_path / "statement.csv"
    path.write_text("Date,Amount,Amount\n2026-03-14,12.00,5.00\n2026-03-15,7.00,5.50\n", "utf-8")
    proposed = profile_file(path).toml

    assert "# the header names 'Amount' twice: neither is read" in proposed
    assert 'amount = "Amount' not in proposed


def test_a_word_that_begins_like_a_currency_is_none(tmp_path):
    """Sales in Europe may be in any currency."""
    path = tmp_path / "sales.csv"
    path.write_text("Date,Total amount (European sales)\n2026-03-14,12.00\n2026-03-15,7.00\n",
                    "utf-8")  # fmt: skip

    assert "no column holds one: put the right one" in profile_file(path).toml


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a,b\n1,x\n2,y\n", TableStart(",", 0)),
        ("Shop: Ana, Bo\nId;Name\n1;x, y\n2;z\n", TableStart(";", 1)),
        ('Id,"Note\nof two lines"\n1,x\n2,y\n', TableStart(",", 0)),
        ("Id|Day\n", TableStart("|", 0)),
        ("RH,2026/01/06,A\nCH,Id,Sum,Fee\nSB,a,1,2\nSF,1\nRF,1\n", TableStart(",", 1)),
        ("14.03.2026;10,00;x\n15.03.2026;12,00;y\n", TableStart(";", 0, 3)),
    ],
)
def test_the_table_begins_where_most_lines_are_as_wide_as_their_header(text, start):
    """Delimiter, lines above, and how many columns there are where nothing names them."""
    assert find_table(text, 60) == start


def test_names_given_in_the_layout_stand_for_a_header(tmp_path):
    """A file without a header loses no row: the first line is a row like the others."""
    (tmp_path / "recon.toml").write_text(
        """
[workspace]
name = "bank"
timezone = "UTC"

[[sources]]
name = "bank"
feed = "table"
[sources.layout]
event_type = "bank_line"
header = ["Day", "Money", "Text"]
timezone = "UTC"
date_formats = ["%d/%m/%Y"]
[sources.layout.columns]
event_ts = "Day"
amount = "Money"
description = "Text"
currency = { value = "EUR" }
""",
        encoding="utf-8",
    )
    path = tmp_path / "bank.csv"
    path.write_text("14/03/2026,12.00,a\n15/03/2026,-2.00,b\n16/03/2026,1.00\n", encoding="utf-8")
    bench = Workbench(tmp_path, clock=lambda: datetime(2026, 3, 20, tzinfo=UTC))
    taken = bench.ingest("bank", path)

    assert taken.frame.select("physical", "accepted", "quarantined").rows() == [(3, 2, 1)]
    with bench.store.snapshot().engine() as engine:
        rows = engine.rows("select record_row, amount from events order by record_row").rows()
    assert rows == [(1, 1200), (2, -200)]


def test_a_cell_beyond_the_header_that_says_something_is_set_aside(tmp_path):
    """Only empty cells may follow the last column; a row with one more value is no row of it."""
    path = tmp_path / "bank.csv"
    path.write_text("Date,Amount\n2026-03-14,12.00,\n2026-03-15,7.00,x\n", encoding="utf-8")
    profile = profile_file(path)

    assert (profile.rows, profile.unreadable) == (0, 2)
    assert isinstance(profile.columns, pl.DataFrame)
