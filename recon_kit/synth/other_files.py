"""Wholesale orders, conversions of ads, and the bank statement, each in its system's notation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from recon_kit.synth import people
from recon_kit.synth.adverts import (
    PHANTOMS_FROM,
    VALUE_BLANK,
    VALUE_LONG,
    VALUE_WHOLE,
)
from recon_kit.synth.banking import Bank
from recon_kit.synth.draws import Draws
from recon_kit.synth.orders import (
    Calendar,
    invoice_numbers,
    midnight,
    number_of,
    wholesale_names,
)
from recon_kit.synth.tables import EU, EXPONENTS
from recon_kit.synth.writer import (
    Delivery,
    Notation,
    amounts,
    currency_names,
    day_of,
    deliver,
    moment,
    months,
    slices,
    times,
)

WHOLESALE_ZONE = "Europe/Berlin"
ADS_ZONE = "America/Los_Angeles"
ADS_OVERLAP = 2  # days that a month's conversions reach back
OPENING_BALANCE = 48_000_00


def wholesale_file(draws: Draws, period: Calendar, book: pl.DataFrame, folder: Path) -> Delivery:
    """One list of all wholesale orders: semicolons, decimal commas, days first, a footer."""
    rows = book.filter("wholesale").sort("i")
    i, customer = rows["i"].to_numpy(), rows["customer"].to_numpy()
    who = people.names(draws, customer)
    frame = rows.with_columns(
        wholesale_names(i).alias("Document"),
        invoice_numbers(i).alias("Invoice"),
        currency_names(rows["currency"]).alias("Currency"),
        *who.get_columns(),
    )

    def european(column: str) -> pl.Expr:
        text = amounts(column, "Currency").str.replace(".", ",", literal=True)
        return text.str.replace(r"^(\d+)(\d{3}),", "$1.$2,")

    blocks = (
        part.select(
            "Document", "Invoice",
            pl.from_epoch(pl.col("day").cast(pl.Int64), time_unit="d").dt.strftime("%d.%m.%Y")
            .alias("Order date"),
            pl.format("{} & Partner KG", "surname").alias("Customer"),
            pl.concat_str(["given", "surname"], separator=" ").alias("Contact"),
            pl.col("email").alias("E-mail"),
            european("subtotal").alias("Goods"), european("tax").alias("VAT included"),
            european("total").alias("Gross"), "Currency", pl.lit("invoiced").alias("Status"),
        )
        for part in slices(frame)
    )  # fmt: skip
    as_of = midnight(period.end, WHOLESALE_ZONE)
    return deliver(
        folder, "files/wholesale/sales_orders.csv", blocks,
        received_at=moment(as_of + 30_000), as_of=moment(as_of),
        footer=f"Total;{rows.height} documents;;;;;;;;;\r\n",
        notation=Notation(separator=";", line_end="\r\n"),
    )  # fmt: skip


def bank_files(period: Calendar, bank: Bank, folder: Path) -> list[Delivery]:
    """Monthly statements of both accounts: title lines, month first, thousands marks, balance."""
    lines = bank.lines.with_columns(
        currency_names(bank.lines["account"]).alias("Currency"),
        (pl.col("amount").cum_sum().over("account") + OPENING_BALANCE).alias("balance"),
        pl.when(pl.col("account") == EU).then(pl.lit("Operating EUR 2203"))
        .otherwise(pl.lit("Operating USD 1101")).alias("Account"),
        pl.from_epoch(pl.col("day"), time_unit="d").dt.strftime("%m/%d/%Y").alias("Booking Date"),
    )  # fmt: skip
    found = []
    for label, first, after in months(period):
        part = lines.filter((pl.col("day") >= first) & (pl.col("day") < after))
        as_of = midnight(day_of(after))
        block = part.select(
            "Booking Date", pl.col("Booking Date").alias("Value Date"), "Account",
            pl.col("description").alias("Description"), _grouped("amount").alias("Amount"),
            "Currency", _grouped("balance").alias("Balance"),
            pl.col("reference").alias("Bank Reference"),
        )  # fmt: skip
        found.append(deliver(
            folder, f"files/bank/statement_{label}.csv", [block],
            received_at=moment(as_of + 25_200), as_of=moment(as_of),
            preamble=f"Statement of accounts,{label}\nNordlys Goods Inc.,All accounts\n\n",
        ))  # fmt: skip
    return found


def ads_files(
    draws: Draws, period: Calendar, conversions: pl.DataFrame, folder: Path
) -> tuple[list[Delivery], pl.DataFrame]:
    """Monthly uploads of conversions, each reaching back two days.

    Returns:
        The files, and where each conversion stands, as rows have no id of their own: `file`,
        `sha256`, `row` (from 1, header not counted), `native_id` (a number of the truth only).
    """
    found, places = [], []
    for label, first, after in months(period):
        low = midnight(day_of(max(first - ADS_OVERLAP, period.start_day)), ADS_ZONE)
        low = low if first > period.start_day else 0
        high = midnight(day_of(after), ADS_ZONE) if after < period.end_day else period.end_ts
        part = conversions.filter((pl.col("ts") >= low) & (pl.col("ts") < high))
        as_of = moment(midnight(day_of(after)))
        delivery = deliver(
            folder, f"files/ads/offline_conversions_{label}.csv",
            _conversion_blocks(draws, period, part),
            received_at=moment(midnight(day_of(after)) + 12_600), as_of=as_of,
            preamble=f"Parameters:TimeZone={ADS_ZONE}\n",
        )  # fmt: skip
        found.append(delivery)
        places.append(part.select(
            pl.lit(delivery.file).alias("file"), pl.lit(delivery.sha256).alias("sha256"),
            pl.int_range(1, pl.len() + 1).alias("row"),
            conversion_ids(part["id"]).alias("native_id"),
        ))  # fmt: skip
    return found, pl.concat(places)


def conversion_ids(numbers: pl.Series) -> pl.Series:
    """Names of conversions for the truth; no file prints them."""
    return pl.select(pl.format("conversion:{}", numbers)).to_series()


def _conversion_blocks(
    draws: Draws, period: Calendar, rows: pl.DataFrame
) -> Iterator[pl.DataFrame]:
    for part in slices(rows):
        real = part["id"].to_numpy() < PHANTOMS_FROM
        number = number_of(period, np.where(real, part["i"].to_numpy(), 0))
        digit = draws.between("surplus digit", part["id"].to_numpy(), 1, 9)
        mail = people.names(draws, part["customer"].to_numpy())["email"]
        places = EXPONENTS[part["currency"].to_numpy()]
        frame = part.with_columns(
            currency_names(part["currency"]).alias("Conversion Currency"),
            draws.codes("gclid", part["click"].to_numpy(), "Cj0KCQjw").alias("Google Click ID"),
            pl.Series("number", number), pl.Series("digit", digit),
            pl.Series("unit", 10**places), mail.alias("mail"),
        ).with_columns(  # whole units lose their decimals
            pl.when(pl.col("value") == VALUE_WHOLE)
            .then(pl.col("amount") // pl.col("unit") * pl.col("unit"))
            .otherwise("amount").alias("amount")
        )  # fmt: skip
        text = amounts("amount", "Conversion Currency")
        long = (
            pl.when(text.str.contains(".", literal=True)).then(text).otherwise(text + pl.lit("."))
        )
        yield frame.select(
            "Google Click ID",
            pl.lit("Purchase").alias("Conversion Name"),
            times("ts", ADS_ZONE, "%Y-%m-%d %H:%M:%S").alias("Conversion Time"),
            pl.when(pl.col("value") == VALUE_BLANK).then(None)
            .when(pl.col("value") == VALUE_LONG).then(long + pl.col("digit").cast(pl.String))
            .otherwise(text).alias("Conversion Value"),
            "Conversion Currency",
            pl.when("named").then(pl.format("#{}", "number")).alias("Order ID"),
            pl.when("mailed").then("mail").alias("Email"),
        )  # fmt: skip


def _grouped(column: str) -> pl.Expr:
    """Amounts in two decimals with commas between thousands."""
    text = amounts(column, "Currency")
    for _ in range(2):
        text = text.str.replace(r"^(-?\d+)(\d{3})([.,])", "$1,$2$3")
    return text
