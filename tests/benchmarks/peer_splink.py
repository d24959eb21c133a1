"""Splink alone, as a careful engineer would set it up: keys are comparisons and blocking rules.

It is given normalised columns, a fee level that knows the shop's formula, the usual number of
sampled pairs, and rules bounded in time; and one-to-one picking by mutual best, which it does not
do by itself.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import splink.comparison_level_library as cll
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from tests.benchmarks import worlds
from tests.benchmarks.worlds import World

SIDES = {"left": ("shop", "a_orders"), "right": ("psp", "b_payments")}
RULES = (
    "l.currency = r.currency and l.mail = r.mail and r.ts - l.ts between -86400 and 1209600",
    "l.currency = r.currency and l.names = r.names and r.ts - l.ts between -86400 and 1209600",
    (
        "l.currency = r.currency and l.family = r.family and r.ts - l.ts between -86400 and 604800"
        " and r.amount between l.amount * 0.95 - 40 and l.amount + 3"
    ),
    "l.currency = r.currency and l.amount = r.amount and l.day = r.day",
    "l.currency = r.currency and l.amount = r.amount and l.day + 1 = r.day",
)
PAIRS_SAMPLED = 1_000_000


def link(world: World) -> tuple[dict[str, Any], str]:
    """Train, predict, pick; returns seconds by stage and the query of the picked pairs."""
    stages: dict[str, Any] = {}
    clock = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        stages[f"{name}_s"] = time.perf_counter() - clock
        clock = time.perf_counter()

    con = world.engine.con
    for side, (source, _) in SIDES.items():
        con.execute(f"create table flat_{side} as {flat(source)}")
    lap("load")
    api = DuckDBAPI(connection=con)
    tables = [
        api.register(f"flat_{side}", dataset_display_name=name) for side, (_, name) in SIDES.items()
    ]
    linker = Linker(tables, settings(), log_level=logging.ERROR)
    train(linker)
    lap("train")
    found = linker.inference.predict(threshold_match_weight=0, warning_mode="never")
    lap("predict")
    pick(world, found.physical_name)
    lap("pick")
    stages["candidates"] = world.engine.count(found.physical_name)
    return stages, "select left_key, right_key from picked"


def flat(source: str) -> str:
    """One row per event of a source, with what Splink compares."""
    return f"""
select event_key as id, {", ".join(worlds.KEYS)}, amount, currency, email, epoch(event_ts) as ts,
       epoch(event_ts)::bigint // 86400 as day,
       replace(regexp_replace(split_part(email, '@', 1), '[+].*$', ''), '.', '') as mail,
       array_to_string(list_sort(string_split(lower(customer_name), ' ')), ' ') as names,
       list_reduce(string_split(lower(customer_name), ' '),
                   lambda a, b: case when length(a) >= length(b) then a else b end) as family
from (from events where source = '{source}') join who using (event_key)"""


def settings() -> SettingsCreator:
    """Comparisons and blocking rules; only ids leave predict."""

    def level(sql: str, label: str) -> cll.CustomLevel:
        return cll.CustomLevel(sql, label)

    def equal(column: str) -> cll.CustomLevel:
        return level(f"{column}_l = {column}_r", f"same {column}")

    def close(column: str, least: float) -> cll.CustomLevel:
        score = f"jaro_winkler_similarity({column}_l, {column}_r) > {least}"
        return level(score, f"{column} {least}")

    ladders = {
        "email": [cll.NullLevel("email"), equal("email"), equal("mail"), close("mail", 0.92)],
        "name": [cll.NullLevel("names"), equal("names"), close("names", 0.92),
                 close("names", 0.80), equal("family")],
        "amount": [
            cll.NullLevel("amount"), equal("amount"),
            level("abs(amount_l - amount_r) <= 3", "rounding"),
            level("abs(amount_l - amount_r - round(amount_l * 0.029) - 30) <= 1", "fee"),
            level("amount_r between amount_l * 0.95 - 40 and amount_l", "near a fee"),
        ],
        "ts": [
            cll.NullLevel("ts"), level("ts_r - ts_l between 0 and 28800", "8 hours"),
            level("ts_r - ts_l between 0 and 259200", "3 days"),
            level("abs(ts_r - ts_l) < 604800", "7 days"),
        ],
    }  # fmt: skip
    return SettingsCreator(
        link_type="link_only",
        unique_id_column_name="id",
        comparisons=[
            *(
                cl.CustomComparison(
                    output_column_name=name, comparison_levels=[*levels, cll.ElseLevel()]
                )
                for name, levels in ladders.items()
            ),
            *(cl.ExactMatch(key) for key in worlds.KEYS),
        ],
        blocking_rules_to_generate_predictions=[*(block_on(k) for k in worlds.KEYS), *RULES],
        retain_matching_columns=False,
        retain_intermediate_calculation_columns=False,
    )


def train(linker: Linker) -> None:
    """Learn u by sampling, the prior from the keys, m by EM under four rules."""
    teach = linker.training
    teach.estimate_u_using_random_sampling(max_pairs=PAIRS_SAMPLED, seed=1)
    teach.estimate_probability_two_random_records_match(
        [block_on(key) for key in worlds.KEYS], recall=0.95
    )
    for rule in (
        block_on("order_id"), block_on("mail", "currency"), block_on("names", "currency"),
        block_on("amount", "currency", "day"),
    ):  # fmt: skip
        teach.estimate_parameters_using_expectation_maximisation(rule, max_pairs=PAIRS_SAMPLED)


def pick(world: World, scored: str) -> None:
    """Mutual best, four times over what is left."""
    con = world.engine.con
    con.execute("create table picked (left_key varchar, right_key varchar)")
    for _ in range(4):
        con.execute(
            f"""
insert into picked
with open_pairs as (
    select id_l as l, id_r as r, match_weight as w from {scored}
    where match_probability > 0.5 and id_l not in (select left_key from picked)
      and id_r not in (select right_key from picked)
), best_right as (select l, arg_max(r, (w, r)) as r from open_pairs group by l),
best_left as (select r, arg_max(l, (w, l)) as l from open_pairs group by r)
select l, r from best_right join best_left using (l, r)"""
        )
