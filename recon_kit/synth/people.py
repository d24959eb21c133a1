"""Invented customers: names from syllables, addresses, phones, and mail at example domains.

A customer is a number; every trait is drawn from it, so that the same customer looks the same in
every file. `drifted_names` and `drifted_emails` are how other systems misremember them.
"""

from __future__ import annotations

import unicodedata

import numpy as np
import polars as pl

from recon_kit.synth.draws import Draws, Ints
from recon_kit.synth.tables import COUNTRIES


def _words(text: str) -> list[str]:
    return text.split()


_GIVEN = _words(
    "Ada Alma Amir Ana Anton Aria Ayla Bela Bruno Carla Celia Chiara Clara Dario David Dora Edith "
    "Elena Elias Elif Emil Emma Enzo Erik Esra Eva Farah Felix Finn Flora Frida Gabriel Greta Hana "
    "Hugo Ida Ilse Inés Irina Ivan Jakob Jana Jonas José Julia Karim Kei Lara Lea Leon Lina Luca "
    "Luis Malik Mara Marco Maria Marta Mateo Maya Mei Mila Mina Nadia Naomi Nico Nils Nina Noor "
    "Nora Olga Omar Oskar Paula Pavel Petra Rafael Rana René Rosa Ruth Sami Sara Selim Simon Sofía "
    "Sven Tara Tim Tomas Ulla Vera Viktor Yara Yuki Yusuf Zara Zoë"
)
_STEMS = _words(
    "Al Bar Ber Bran Cal Car Dal Dor El Fal Far Gal Gar Hal Har Hol Jan Kal Kar Lan Lar Lind Mal "
    "Mar Mer Nor Or Pal Par Ral Ros Sal San Sel Tal Tor Val Var Wal Wen Zel"
)
_ENDINGS = _words(
    "dan den dero edo ekar elli ford gado holm ini ior ixa kov ley lund man mont móra ner nes oro "
    "ova ric sen son stad ström tari ton tova úñez vale well wick yama zano zer"
)
_STREETS = _words(
    "Alder Birch Canal Castle Cedar Chapel Dock Elm Ferry Garden Granary Harbour Hazel Hill Lake "
    "Linden Mill Orchard Poplar Quay River Rowan School Spring Station Tower Vine Weaver"
)
_KINDS_OF_STREET = ("Street", "Road", "Lane", "Square", "Way")
DOMAINS: tuple[str, ...] = (
    "example.com", "example.org", "example.net", "mail.example.com", "post.example.org",
    "home.example.net",
)  # fmt: skip


def _plain(text: str) -> str:
    """ASCII letters of a name, as mail addresses are written."""
    folded = unicodedata.normalize("NFKD", text.replace("ø", "o"))
    return "".join(c for c in folded if c.isascii() and c.isalnum()).lower()


_SURNAMES = [stem + ending for stem in _STEMS for ending in _ENDINGS]
_GIVEN_SERIES = pl.Series("given", _GIVEN)
_SURNAME_SERIES = pl.Series("surname", _SURNAMES)
_GIVEN_PLAIN = pl.Series("given_plain", [_plain(n) for n in _GIVEN])
_SURNAME_PLAIN = pl.Series("surname_plain", [_plain(n) for n in _SURNAMES])


def _take(values: pl.Series, index: Ints) -> pl.Series:
    return values.gather(pl.Series(index))


def countries(draws: Draws, customers: Ints) -> Ints:
    """Index into `COUNTRIES` of each customer."""
    return draws.pick("country", customers, [c.weight for c in COUNTRIES])


def names(draws: Draws, customers: Ints) -> pl.DataFrame:
    """Columns `given`, `surname`, `email` of each customer."""
    # the smaller of two draws: some names are much more common than others
    first = draws.below("given", customers, len(_GIVEN))
    last = np.minimum(
        draws.below("surname", customers, len(_SURNAMES)),
        draws.below("surname again", customers, len(_SURNAMES)),
    )
    frame = pl.DataFrame(
        {
            "given": _take(_GIVEN_SERIES, first),
            "surname": _take(_SURNAME_SERIES, last),
            "g": _take(_GIVEN_PLAIN, first),
            "s": _take(_SURNAME_PLAIN, last),
            "shape": draws.below("mail shape", customers, 10),
            "number": draws.below("mail number", customers, 10_000),
            "domain": _take(
                pl.Series(DOMAINS), draws.pick("mail domain", customers, (6, 4, 3, 2, 1, 1))
            ),
        }
    )
    dot = pl.when(pl.col("shape") < 6).then(pl.lit(".")).otherwise(pl.lit(""))
    digits = pl.when(pl.col("shape") % 10 < 8).then(pl.col("number").cast(pl.String))
    local = pl.concat_str([pl.col("g"), dot, pl.col("s"), digits.fill_null("")])
    return frame.select(
        "given", "surname", pl.concat_str([local, pl.lit("@"), pl.col("domain")]).alias("email")
    )


def addresses(draws: Draws, customers: Ints) -> pl.DataFrame:
    """Columns street, address1, address2, city, zip, province, province_name, country, phone."""
    country = countries(draws, customers)
    flat = [city for c in COUNTRIES for city in c.cities]
    firsts = np.cumsum([0, *(len(c.cities) for c in COUNTRIES)])[:-1]
    sizes = np.array([len(c.cities) for c in COUNTRIES])
    city = firsts[country] + draws.below("city", customers, sizes[country])
    zip_number = np.array([c[3] for c in flat])[city] + draws.below("zip", customers, 40)
    house = draws.between("house", customers, 1, 240)
    frame = pl.DataFrame(
        {
            "house": house,
            "name": _take(pl.Series(_STREETS), draws.below("street", customers, len(_STREETS))),
            "kind": _take(pl.Series(_KINDS_OF_STREET), draws.below("way", customers, 5)),
            "flat": draws.below("flat", customers, 60),
            "city": _take(pl.Series([c[0] for c in flat]), city),
            "province": _take(pl.Series([c[1] or None for c in flat]), city),
            "province_name": _take(pl.Series([c[2] or None for c in flat]), city),
            "zip": zip_number,
            "country": _take(pl.Series([c.code for c in COUNTRIES]), country),
            "prefix": _take(pl.Series([c.phone for c in COUNTRIES]), country),
            "digits": draws.below("phone", customers, 10_000_000),
        }
    )
    first = pl.concat_str([pl.col("house").cast(pl.String), "name", "kind"], separator=" ")
    second = pl.when(pl.col("flat") < 12).then(pl.format("Flat {}", pl.col("flat") + 1))
    number = pl.col("digits").cast(pl.String).str.zfill(7)
    return frame.select(
        pl.concat_str([first, second], separator=", ", ignore_nulls=True).alias("street"),
        first.alias("address1"),
        second.alias("address2"),
        "city",
        # spreadsheets would eat leading zeros, hence the apostrophe of the export
        (pl.lit("'") + pl.col("zip").cast(pl.String).str.zfill(5)).alias("zip"),
        "province",
        "province_name",
        "country",
        (pl.col("prefix") + number).alias("phone"),
    )


def drifted_names(people: pl.DataFrame, drift: Ints, place: Ints) -> pl.Series:
    """Full names as another system knows them.

    Args:
        people: columns `given`, `surname`.
        drift: 0 as it is, 1 initial, 2 surname first, 3 capitals, 4 a letter lost in the surname,
            5 two letters swapped in the given name, 6 a second given name put between.
        place: a non-negative number that says where a letter goes.
    """
    given, surname = pl.col("given"), pl.col("surname")
    at = pl.col("place") % (surname.str.len_chars().cast(pl.Int64) - 2) + 1
    lost = surname.str.head(at) + surname.str.slice(at + 1)
    swapped = given.str.head(1) + given.str.slice(2, 1) + given.str.slice(1, 1) + given.str.slice(3)
    kind = pl.col("drift")
    name = (
        pl.when(kind == 1)
        .then(pl.concat_str([given.str.head(1), surname], separator=" "))
        .when(kind == 2)
        .then(pl.concat_str([surname, given], separator=", "))
        .when(kind == 3)
        .then(pl.concat_str([given, surname], separator=" ").str.to_uppercase())
        .when(kind == 4)
        .then(pl.concat_str([given, lost], separator=" "))
        .when(kind == 5)
        .then(pl.concat_str([swapped, surname], separator=" "))
        .when(kind == 6)
        .then(pl.concat_str([given, pl.lit("M."), surname], separator=" "))
        .otherwise(pl.concat_str([given, surname], separator=" "))
    )
    frame = people.select("given", "surname").with_columns(
        pl.Series("drift", drift), pl.Series("place", place)
    )
    return frame.select(name.alias("name")).to_series()


def drifted_emails(emails: pl.Series, drift: Ints, place: Ints) -> pl.Series:
    """Addresses as another system knows them.

    Args:
        emails: as the shop knows them.
        drift: 0 as it is, 1 none, 2 another domain, 3 no dots, 4 a `+` tag, 5 a letter lost.
        place: a non-negative number that says where a letter goes.
    """
    local = pl.col("email").str.extract(r"^([^@]*)", 1)
    domain = pl.col("email").str.extract(r"@(.*)$", 1)
    at = pl.col("place") % (local.str.len_chars().cast(pl.Int64) - 1) + 1
    kind = pl.col("drift")
    changed = (
        pl.when(kind == 1)
        .then(None)
        .when(kind == 2)
        .then(local + pl.lit("@letters.example.com"))
        .when(kind == 3)
        .then(local.str.replace_all(".", "", literal=True) + pl.lit("@") + domain)
        .when(kind == 4)
        .then(local + pl.lit("+shop@") + domain)
        .when(kind == 5)
        .then(local.str.head(at) + local.str.slice(at + 1) + pl.lit("@") + domain)
        .otherwise(pl.col("email"))
    )
    frame = pl.DataFrame({"email": emails, "drift": pl.Series(drift), "place": pl.Series(place)})
    return frame.select(changed.alias("email")).to_series()
