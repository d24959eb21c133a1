"""The index of keys: from any id a person may hold to the events that bear it.

Each segment is sorted by `key_hash`, so that a lookup reads a few pages of each file:
`select event_key from keys where key_hash = $1 and key = $2`, with `key_hash(text)` as $1.
"""

from __future__ import annotations

import hashlib

from recon_kit.safe import quote_ident, quote_text

PLAIN: tuple[str, ...] = (
    "native_id", "order_id", "sub_order_id", "transaction_id", "invoice_number", "payout_id",
    "parent_key", "click_id", "customer_id", "business_key",
)  # fmt: skip
MAPS: tuple[str, ...] = ("raw_keys", "external_ids")
_HASH = "cast('0x' || left(sha256(key), 16) as ubigint) as key_hash"


def key_hash(key: str) -> int:
    """First 64 bits of the sha256 of a key; what `keys.key_hash` holds."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:16], 16)


def keys_sql(table: str) -> str:
    """Rows of the index (key_hash, kind, key, event_key) of a table of events, sorted."""
    plain = [
        f"select {quote_text(name)} as kind, {quote_ident(name)} as key, event_key "
        f"from {table} where {quote_ident(name)} is not null"
        for name in PLAIN
    ]
    maps = [
        f"select {quote_text(name + '.')} || entry.key as kind, entry.value as key, event_key "
        f"from (select event_key, unnest(map_entries(cast(cast({name} as json) "
        f"as map(varchar, varchar)))) as entry from {table} where {name} is not null)"
        for name in MAPS
    ]
    rows = " union all ".join([*plain, *maps])
    return (
        f"select {_HASH}, kind, key, event_key from ({rows}) "
        "order by key_hash, event_key, kind, key"
    )
