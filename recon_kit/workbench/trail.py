"""The way of one event through the methods: what each found, read off facts and the stored run."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recon_kit import model
from recon_kit.ledger.engine import Engine
from recon_kit.matching import answer_words, answers, beside, evidence, keys, ladders
from recon_kit.safe import quote_text
from recon_kit.settings import Reconciliation
from recon_kit.workbench.whatif import NOT_ASKED, likeliest_open

_SCHEMA = {"method": pl.String, "outcome": pl.String, "detail": pl.String}


@dataclass(frozen=True, slots=True)
class Words:
    """What people said of an event: `told` all of it, `unheard` the latest no run has heard yet."""

    told: str
    unheard: str


def words(
    engine: Engine, rec: Reconciliation, event_key: str, said: pl.DataFrame, heard_seq: int
) -> Words:
    """What people said of one event in one reconciliation, oldest first.

    Args:
        engine: knows the events that were said to be its counterpart.
        rec: in which it was said.
        event_key: of whom.
        said: decisions in force (`model.DECISION_SCHEMA`).
        heard_seq: the last of them that the run which is explained knows.
    """
    about = (pl.col("left_key") == event_key) | (pl.col("right_key") == event_key)
    mine = said.filter(pl.col("reconciliation") == rec.name, about.fill_null(value=False))
    engine.put("asked_said", mine.select("seq", "left_key", "right_key", "verdict", "reviewer"))
    rows = engine.rows(
        "select d.seq, d.verdict, coalesce(e.native_id, left(e.event_key, 8)) as other, d.reviewer"
        " from asked_said d left join events e on e.event_key ="
        " case when d.left_key = ? then d.right_key else d.left_key end order by d.seq",
        [event_key],
    ).to_dicts()
    if not rows:
        return Words("nobody has decided about it", "")
    told = [
        row["verdict"].replace("_", " ")
        + (f" as {row['other']}" if row["other"] else "")
        + (f" ({row['reviewer']})" if row["reviewer"] else "")
        for row in rows
    ]
    last = rows[-1]
    unheard = ""
    if last["seq"] > heard_seq:
        # an unsure moves nothing: there is no run to wait for
        way = "" if last["verdict"] == "unsure" else "; `recon run` applies it"
        unheard = f". Said since this run: {told[-1]}{way}"
    return Words("; ".join(told), unheard)


def method_trail(
    engine: Engine, rec: Reconciliation, found: evidence.Why, near: beside.Beside, decided: str
) -> pl.DataFrame:
    """`method, outcome, detail` of every enabled method, up to the one that settled the event.

    `decided` tells what people said of it.
    """
    settled = str(found.match["method"][0]) if found.match.height else None
    proposed = set(found.proposals["method"])
    switched = {
        "learned": settled == "learned" or "learned" in proposed,
        "window": rec.window_method.enabled, "grouped": rec.grouped.enabled,
        "probable": rec.probable.enabled, "decomposed": rec.decomposed.enabled,
    }  # fmt: skip
    rows: list[tuple[str, str, str]] = []
    for method in (m for m in model.METHODS if switched.get(m, True)):
        seen = decided if method == "decided" else _seen(engine, method, rec, found, near)
        if method == settled:
            rows.append((method, found.standing, f"{seen}: {found.sentence}"))
            break
        outcome = "proposed" if method in proposed else "left open"
        rows.append((method, outcome, seen))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _seen(
    engine: Engine, method: str, rec: Reconciliation, found: evidence.Why, near: beside.Beside
) -> str:
    proposed = found.proposals.filter(pl.col("method") == method)
    many = "counterpart" if proposed.height == 1 else "counterparts"
    told = f"{proposed.height} {many} proposed; a person decides" * bool(proposed.height)
    if method == "exact":
        return "; ".join(filter(None, [_exact(engine, rec, found), told]))
    if method == "probable":
        return "; ".join(filter(None, [_probable(rec, found, near), told]))
    if proposed.height:
        return _ranked(engine, proposed) or told
    if method in ("grouped", "decomposed"):
        return _groups(method, rec, found)
    return {
        "learned": "a rule names it",
        "window": f"{_alike(near)} with it in amount; only a pair that is alone on "
        "both sides, within the window, is joined",
    }[method]


def _groups(method: str, rec: Reconciliation, found: evidence.Why) -> str:
    """What a method of groups saw where it proposed nothing."""
    if rec.cardinality == "one_to_one":
        return "one to one has no groups"
    earlier = [m for m in answers.METHODS if m in found.proposals["method"].to_list()]
    if method == "decomposed" and earlier:
        return f"left to what {earlier[0]} asks"
    kind = "run" if method == "grouped" else "set"
    item = found.open_item.filter(pl.col("why_code").is_in(["ambiguous", "undecidable"]))
    for code, why in item.select("why_code", "why").iter_rows():
        if f"{kind}s of open items" in why or (code == "undecidable" and kind == "set"):
            return str(why)
    return f"no {kind} of open items is proposed"


def _ranked(engine: Engine, proposed: pl.DataFrame) -> str:
    """Answers of several events, most plausible first; empty where none were ranked."""
    ids = ", ".join(quote_text(m) for m in proposed["match_id"].unique().sort())
    rows = engine.rows(f"""
        select match_id, max(levels) as levels, max(equal_answers) as equal_answers,
               count(*) as pairs
        from (select distinct match_id, left_key, right_key, levels, equal_answers
              from pair_evidence where match_id in ({ids}))
        group by match_id order by match_id""")
    told = sorted(
        (*answer_words.ranked(levels), match_id, pairs, answer_words.counted(levels, number))
        for match_id, levels, number, pairs in rows.iter_rows()
    )
    if not told or not told[0][0]:
        return ""
    shown = "; ".join(
        f"{rank}. {match_id[:8]}: {pairs} open item{'s' * (pairs > 1)} {words}"
        for rank, words, match_id, pairs, _ in told
    )
    number = f"{told[0][4]} add up, most plausible first: " if told[0][4] else ""
    return f"{number}{shown}. `recon decide {told[0][2][:8]} --same` confirms one as a whole"


def _exact(engine: Engine, rec: Reconciliation, found: evidence.Why) -> str:
    """How many events of either side carry each of its declared keys."""
    if not rec.keys:
        return "no key is declared"
    told: list[str] = []
    for key in rec.keys:
        text, name = keys.key_text(key), key.rpartition(".")[2].replace("_", " ")
        row = engine.rows(
            f"""
            with own as (select t from (select {text} as t from events where event_key = ?)
                         where ({keys.key_hash("t")}) is not null)
            select any_value(own.t) as t, count(*) filter ({keys.side_filter(rec.left)}) as l,
                   count(*) filter ({keys.side_filter(rec.right)}) as r
            from own left join events on {text} = own.t having count(own.t) > 0""",
            [found.event_key],
        ).to_dicts()
        if not row:
            told.append(f"it carries no {name}")
            continue
        counts = [
            f"{n or 'no'} {ladders.kinds(side.types, several=n > 1)}"
            for n, side in ((row[0]["l"], rec.left), (row[0]["r"], rec.right))
        ]
        told.append(f"{name} {row[0]['t']}: {' and '.join(counts)} carry it")
    if "id_conflict" in found.open_item["why_code"].to_list():
        told.append(f"kept apart: {found.open_item['why'][0]}")
    return "; ".join(told)


def _alike(near: beside.Beside) -> str:
    """How many open events that come near have the same amount."""
    amount = pl.col("levels").str.json_path_match("$.amount").str.starts_with("same amount")
    same = near.pairs.filter(pl.col("free") & amount).height
    return "1 open event agrees" if same == 1 else f"{same or 'no'} open events agree"


def _probable(rec: Reconciliation, found: evidence.Why, near: beside.Beside) -> str:
    """The best of what comes near, in probability where the run scored it."""
    best = max(
        [c for c in found.proposals["confidence"].to_list() if c is not None], default=None
    )  # fmt: skip
    many = near.pairs.height
    if not many:
        nothing = "nothing comes near by key, customer or amount"
        return f"the best at {best:.2f}" if best is not None else nothing
    told = "1 event comes near" if many == 1 else f"{many} events come near"
    if best is not None:
        return f"{told}, the best at {best:.2f}"
    if found.match.height or near.prior is None:
        return told
    alone = likeliest_open(near)
    if alone is not None and alone[1] >= rec.probable.review_min:
        return f"{told}, the best open one at {alone[1]:.2f} by itself; {NOT_ASKED}"
    return f"{told}, none that is open reached {rec.probable.review_min:.2f}"


def other_keys(engine: Engine, rec: Reconciliation, found: evidence.Why) -> list[str]:
    """Declared keys other than the one that joined a match on which all its members agree."""
    used = found.members["key_used"].drop_nulls().to_list()
    agreeing: list[str] = []
    for key in rec.keys:
        if key in used:
            continue
        listed = ", ".join(quote_text(k) for k in found.members["event_key"])
        same = engine.rows(
            f"select count(*) = count(t) and count(distinct t) = 1 from"
            f" (select {keys.key_text(key)} as t from events where event_key in ({listed}))"
        ).item()
        if same:
            agreeing.append(key)
    return agreeing
