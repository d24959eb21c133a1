"""What an analyst writes: pandas merges on the keys, then rapidfuzz over blocked pairs.

    uv run --no-project --with pandas --with pyarrow --with rapidfuzz \
        python tests/benchmarks/peer_pandas.py DIR OUT

Neither library belongs to the product, so this file imports nothing of it. Prints one JSON object
like `evaluation`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import pandas as pd
from rapidfuzz import fuzz

KEYS = ["order_id", "transaction_id", "invoice_number"]
COLUMNS = ["event_key", "source", *KEYS, "amount", "currency", "event_ts"]
DAY = 86_400
SCORE_MIN = 75


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Orders and payments with names, e-mails and seconds."""
    events = pd.read_parquet(folder / "events", columns=COLUMNS)
    who = pd.read_parquet(folder / "who", columns=["event_key", "customer_name", "email"])
    rows = events.merge(who, on="event_key")
    rows["ts"] = rows.pop("event_ts").astype("datetime64[s, UTC]").astype("int64")
    return rows[rows.source == "shop"], rows[rows.source == "psp"]


def by_keys(
    left: pd.DataFrame, right: pd.DataFrame
) -> tuple[list[pd.DataFrame], pd.DataFrame, pd.DataFrame]:
    """Merge by key after key, the earliest payment first; what is left goes on."""
    found = []
    for key in KEYS:
        told = right.loc[right[key].notna(), ["event_key", "ts", key]]
        both = left[["event_key", key]].merge(told, on=key, suffixes=("_l", "_r"))
        both = both.sort_values(["ts", "event_key_r"])
        both = both.drop_duplicates("event_key_l").drop_duplicates("event_key_r")
        found.append(both[["event_key_l", "event_key_r"]])
        left = left[~left.event_key.isin(both.event_key_l)]
        right = right[~right.event_key.isin(both.event_key_r)]
    return found, left, right[right[KEYS].isna().all(axis=1)]


def normal(rows: pd.DataFrame) -> pd.DataFrame:
    """Spellings that mean the same, and what to block on."""
    rows = rows.drop(columns=KEYS)
    local = rows.email.str.split("@").str[0].str.replace(r"\+.*$", "", regex=True)
    words = rows.customer_name.str.lower().str.split()
    return rows.assign(
        mail=local.str.replace(".", "", regex=False),
        names=words.map(lambda w: " ".join(sorted(w))),
        family=words.map(lambda w: max(w, key=len)),
        day=rows.ts // DAY,
    )


def candidates(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """Pairs that share currency and mail, name, family name, or amount and day."""
    blocks = [
        left.merge(right[right[on[0]].notna()], on=list(on), suffixes=("_l", "_r"))
        for on in (("mail", "currency"), ("names", "currency"), ("family", "currency"),
                   ("amount", "currency", "day"))
    ]  # fmt: skip
    pairs = pd.concat([b[["event_key_l", "event_key_r"]] for b in blocks]).drop_duplicates()
    return pairs.merge(left.add_suffix("_l"), on="event_key_l").merge(
        right.add_suffix("_r"), on="event_key_r"
    )


def scored(pairs: pd.DataFrame) -> pd.DataFrame:
    """A score from 0 to 100, pair by pair, as everyone writes it."""
    columns = zip(
        pairs.names_l, pairs.names_r, pairs.mail_l, pairs.mail_r,
        pairs.amount_l, pairs.amount_r, pairs.ts_l, pairs.ts_r, strict=True,
    )  # fmt: skip
    pairs["score"] = [
        0.4 * fuzz.token_sort_ratio(a, b)
        + 0.3 * (fuzz.ratio(x, y) if isinstance(x, str) and isinstance(y, str) else 50)
        + 30 * (abs(s - t) <= max(3, 0.03 * s + 31))
        - (0 if 0 <= v - u < 3 * DAY else 30)
        for a, b, x, y, s, t, u, v in columns
    ]
    return pairs[pairs.score >= SCORE_MIN].sort_values(
        ["score", "event_key_l", "event_key_r"], ascending=[False, True, True]
    )


def greedy(pairs: pd.DataFrame) -> pd.DataFrame:
    """The best score first, each event once."""
    used: set[str] = set()
    kept = []
    for pair in zip(pairs.event_key_l, pairs.event_key_r, strict=True):
        if used.isdisjoint(pair):
            used.update(pair)
            kept.append(pair)
    return pd.DataFrame(kept, columns=["event_key_l", "event_key_r"])


def main(folder: Path, out: Path) -> None:
    """Match, measure, write the pairs."""
    began, busy = time.perf_counter(), time.process_time()
    left, right = read(folder)
    found, left, right = by_keys(left, right)
    pairs = candidates(normal(left), normal(right))
    picked = greedy(scored(pairs))
    matched = pd.concat([*found, picked])
    matched.columns = ["left_key", "right_key"]
    told = {
        "work_s": time.perf_counter() - began, "cpu_s": time.process_time() - busy,
        "candidates": len(pairs),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    matched.to_parquet(out / "pairs.parquet", index=False)
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
