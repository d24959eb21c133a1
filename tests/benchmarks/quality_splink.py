"""The probable method beside plain Splink 5 on the same residual rows.

Two settings, in one process and interleaved: the whole residual stage with training, and scoring
alone over the same candidate pairs. Splink's side is set up as its manual shows: comparisons of
e-mail, name, amount and time, u from random pairs, the prior from two strict rules, m by EM over
three blocking rules, prediction over five.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from typing import Any

from recon_kit.ledger.engine import Engine, Step
from recon_kit.matching import estimate, probable, stored
from recon_kit.matching.assign import assign
from recon_kit.settings import Reconciliation

RULES = (
    "l.currency = r.currency and l.mailbox = r.mailbox and r.ts - l.ts between -86400 and 1209600",
    "l.currency = r.currency and l.person = r.person and r.ts - l.ts between -86400 and 1209600",
    """l.currency = r.currency and l.family = r.family and r.ts - l.ts between -86400 and 604800
    and r.amount between l.amount * 0.95 - 40 and l.amount + 3""",
    "l.currency = r.currency and l.amount = r.amount and l.day = r.day",
    "l.currency = r.currency and l.amount = r.amount and l.day + 1 = r.day",
)


def _levels(name: str, column: str, *conditions: str) -> Any:
    import splink.internals.comparison_level_library as cll
    import splink.internals.comparison_library as cl

    steps = [cll.NullLevel(column), *(cll.CustomLevel(sql, sql) for sql in conditions)]
    return cl.CustomComparison(output_column_name=name, comparison_levels=[*steps, cll.ElseLevel()])


def settings() -> Any:
    """Splink's settings for orders and payments without keys."""
    from splink import SettingsCreator

    comparisons = [
        _levels("email", "email", "email_l = email_r", "mailbox_l = mailbox_r",
                "jaro_winkler_similarity(mailbox_l, mailbox_r) > 0.92"),
        _levels("person", "person", "person_l = person_r",
                "jaro_winkler_similarity(person_l, person_r) > 0.92",
                "jaro_winkler_similarity(person_l, person_r) > 0.8", "family_l = family_r"),
        _levels("amount", "amount", "amount_l = amount_r", "abs(amount_l - amount_r) <= 3",
                "abs(amount_l - amount_r - round(amount_l * 0.029) - 30) <= 1",
                "amount_r between amount_l * 0.95 - 40 and amount_l"),
        _levels("ts", "ts", "ts_r - ts_l between 0 and 28800", "ts_r - ts_l between 0 and 259200",
                "abs(ts_r - ts_l) < 604800"),
    ]  # fmt: skip
    return SettingsCreator(
        link_type="link_only", unique_id_column_name="eid", comparisons=comparisons,
        blocking_rules_to_generate_predictions=list(RULES),
        retain_matching_columns=False, retain_intermediate_calculation_columns=False,
    )  # fmt: skip


def plain_rows(engine: Engine) -> None:
    """The rows of both sides as Splink is given them."""
    for side in ("left", "right"):
        engine.run(
            Step(
                f"plain_{side}",
                f"""create or replace table plain_{side} as
                select eid, amount, currency, email, epoch(event_ts)::bigint as ts,
                    epoch(event_ts)::bigint // 86400 as day,
                    replace(regexp_replace(split_part(email, '@', 1), '[+].*$', ''), '.', '')
                        as mailbox,
                    array_to_string(list_sort(string_split(lower(customer_name), ' ')), ' ')
                        as person,
                    list_sort(list_transform(string_split(lower(customer_name), ' '),
                        lambda w: [lpad((100 - length(w))::varchar, 3, '0'), w]))[1][2] as family
                from open_{side} join who using (event_key)""",
                "what Splink compares",
            )
        )


def plain_splink(engine: Engine, least: float = 0.5) -> int:
    """Splink alone: train, block, predict; leaves `plain_scored`. Returns the pairs compared.

    Kept are pairs more probable than `least`.
    """
    from splink import DuckDBAPI, Linker, block_on

    plain_rows(engine)
    api = DuckDBAPI(connection=engine.con)
    sides = [api.register(f"plain_{s}", dataset_display_name=s) for s in ("left", "right")]
    linker = Linker(sides, settings(), log_level=logging.ERROR)
    training = linker.training
    training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    strict = ["l.person = r.person and l.amount = r.amount",
              "l.mailbox = r.mailbox and l.amount = r.amount"]  # fmt: skip
    training.estimate_probability_two_random_records_match(strict, recall=0.6)
    for rule in (("mailbox", "currency"), ("person", "currency"), ("amount", "currency", "day")):
        training.estimate_parameters_using_expectation_maximisation(block_on(*rule))
    blocked = linker.inference.compute_blocked_pairs_for_predict()
    pairs = engine.count(blocked.physical_name)
    found = linker.inference.predict(threshold_match_probability=least, warning_mode="never")
    _keep(engine, found.physical_name, least)
    return pairs


def _keep(engine: Engine, predicted: str, least: float) -> None:
    engine.run(
        Step(
            "plain_scored",
            f"""create or replace table plain_scored as
            select eid_l as left_eid, eid_r as right_eid, match_weight, match_probability
            from {predicted} where match_probability > {least}""",
            "what Splink says of the pairs",
        )
    )


def plain_transactions(engine: Engine, least: float = 0.001) -> None:
    """Splink alone on bank transactions, as the published example of its authors sets it up.

    Without the rule that blocks on the ids which give the truth away; leaves `plain_scored`.
    """
    import splink.internals.comparison_level_library as cll
    import splink.internals.comparison_library as cl
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    for side in ("left", "right"):
        engine.run(
            Step(
                f"plain_{side}",
                f"""create or replace table plain_{side} as select eid, amount / 100.0 as amount,
                event_ts::date as day, description as memo from open_{side}""",
                "what Splink compares",
            )
        )
    amount = cl.CustomComparison(output_column_name="amount", comparison_levels=[
        cll.NullLevel("amount"), cll.ExactMatchLevel("amount"),
        *(cll.PercentageDifferenceLevel("amount", part) for part in (0.01, 0.03, 0.1, 0.3)),
        cll.ElseLevel(),
    ])  # fmt: skip
    memo = cl.CustomComparison(output_column_name="memo", comparison_levels=[
        cll.NullLevel("memo"), cll.ExactMatchLevel("memo"),
        *(cll.LevenshteinLevel("memo", apart) for apart in (2, 6, 10)), cll.ElseLevel(),
    ])  # fmt: skip
    days = (f"date_diff('day', day_l, day_r) between 0 and {most}" for most in (1, 4, 10, 30))
    near = "substr(l.memo, 1, 3) = substr(r.memo, 1, 3) and l.amount / r.amount between 0.7 and 1.3"
    weekly = "round(l.amount / 2) = round({right} / 2) and yearweek(r.day) = yearweek({left})"
    settings = SettingsCreator(
        link_type="link_only", unique_id_column_name="eid",
        comparisons=[amount, memo, _levels("day", "day", *days)],
        blocking_rules_to_generate_predictions=[
            f"strftime(l.day, '%Y%m') = strftime(r.day, '%Y%m') and {near}",
            f"strftime(l.day + 15, '%Y%m') = strftime(r.day, '%Y%m') and {near}",
            block_on("substr(memo, 1, 9)"),
            weekly.format(left="l.day", right="r.amount"),
            weekly.format(left="l.day + 4", right="(r.amount + 1)"),
        ],
        retain_matching_columns=False, retain_intermediate_calculation_columns=False,
    )  # fmt: skip
    api = DuckDBAPI(connection=engine.con)
    sides = [api.register(f"plain_{s}", dataset_display_name=s) for s in ("left", "right")]
    linker = Linker(sides, settings, log_level=logging.ERROR)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    for column in ("memo", "amount"):
        linker.training.estimate_parameters_using_expectation_maximisation(block_on(column))
    found = linker.inference.predict(threshold_match_probability=least, warning_mode="never")
    _keep(engine, found.physical_name, least)


def residual(engine: Engine, rec: Reconciliation, rounds: int) -> dict[str, Any]:
    """Both, with training, on the rows that no key claims; interleaved, medians of `rounds`."""
    _splink_loaded()
    took: dict[str, list[float]] = {"recon_kit": [], "splink": []}
    busy: dict[str, list[float]] = {"recon_kit": [], "splink": []}
    pairs = {}
    for _ in range(rounds):
        for name, work in (
            ("recon_kit", lambda: probable.score(engine, rec, None)),
            ("splink", lambda: plain_splink(engine)),
        ):
            before = time.process_time()
            pairs[name] = _timed(took[name], work)
            busy[name].append(time.process_time() - before)
    scored = pairs["recon_kit"]
    middle, processor = (
        {name: round(statistics.median(seconds), 2) for name, seconds in of.items()}
        for of in (took, busy)
    )
    found = {}
    for name, table, floor in (("recon_kit", "scored_pairs", 0.5), ("splink", "plain_scored", 0.5)):
        assign(engine, table, rec.cardinality)
        found[name] = _judged(engine, floor)
    return {
        "seconds": middle,
        "splink_over_recon_kit": round(middle["splink"] / middle["recon_kit"], 2),
        "processor_seconds": processor,
        "processor_splink_over_recon_kit": round(processor["splink"] / processor["recon_kit"], 2),
        "pairs": {"recon_kit": scored.pairs, "splink": pairs["splink"]},
        "found": found,
    }


def _judged(engine: Engine, floor: float) -> dict[str, float]:
    possible = engine.one("select count(*) from truth_left l join truth_right r using (story)")[0]
    told, right = engine.one(
        f"""select count(*), count(*) filter (l.story = r.story) from assigned_pairs a
        join truth_left l on l.eid = a.left_eid join truth_right r on r.eid = a.right_eid
        where match_probability >= {floor}"""
    )
    counts = [int(str(n)) for n in (told, right, possible)]
    return {
        "precision": round(counts[1] / max(counts[0], 1), 4),
        "recall": round(counts[1] / max(counts[2], 1), 4),
        "f1": round(2 * counts[1] / max(counts[0] + counts[2], 1), 4),
    }


def scoring(engine: Engine, rec: Reconciliation, rounds: int) -> dict[str, Any]:
    """Scoring alone with one model over the same candidate pairs; weights held side by side."""
    first = probable.score(engine, rec, None)
    if first.model is None:
        raise SystemExit("nothing could be learned from these files")
    trained = stored.read(first.model)
    took: dict[str, list[float]] = {"recon_kit": [], "splink_predict": []}
    for _ in range(rounds):
        _timed(took["recon_kit"], lambda: probable.rescore(engine, rec, trained))
        _timed(took["splink_predict"], lambda: splink_predict(engine, rec, trained))
    apart = engine.one(
        """select coalesce(max(abs(s.match_weight - p.match_weight)), 0), count(*)
        from scored_pairs s join predicted p on p.l = s.left_seq and p.r = s.right_seq"""
    )
    missing = engine.one(
        f"""select count(*) from predicted p anti join scored_pairs s
            on p.l = s.left_seq and p.r = s.right_seq
        where p.match_weight > {probable.KEEP_WEIGHT} + 1e-6"""
    )[0]
    middle = {name: round(statistics.median(seconds), 2) for name, seconds in took.items()}
    return {
        "pairs": first.pairs,
        "seconds": middle,
        "splink_over_recon_kit": round(middle["splink_predict"] / middle["recon_kit"], 2),
        "weights_apart_max": float(str(apart[0])), "pairs_held_together": apart[1],
        "missing": missing,
    }  # fmt: skip


def splink_predict(engine: Engine, rec: Reconciliation, trained: stored.Trained) -> None:
    """Splink's own predict with the same odds over `candidate_pairs`; leaves `predicted`."""
    from splink import DuckDBAPI, Linker

    lefts, rights = engine.count("side_left"), engine.count("side_right")
    odds = estimate.prior_odds(trained.share, lefts, rights, rec.cardinality)
    m, u = trained.odds()
    told = probable.splink_settings(trained.ladders, m, u, odds / (1 + odds))
    engine.con.execute(
        """create or replace table given_pairs as select '0' as match_key,
            'left-__-' || l as join_key_l, 'right-__-' || r as join_key_r from candidate_pairs"""
    )
    for side in ("left", "right"):
        engine.con.execute(
            f"""create or replace temp table given_{side} as
            select * replace (seq as eid) from side_{side}"""
        )
    api = DuckDBAPI(connection=engine.con)
    sides = [api.register(f"given_{s}", dataset_display_name=s) for s in ("left", "right")]
    linker = Linker(sides, told, log_level=logging.ERROR, validate_settings=False)
    linker.table_management.register_blocked_pairs_for_predict(api.register("given_pairs"))
    found = linker.inference.predict(
        threshold_match_weight=probable.KEEP_WEIGHT, warning_mode="never"
    )
    engine.con.execute(
        f"""create or replace table predicted as
        select eid_l as l, eid_r as r, match_weight from {found.physical_name}"""
    )
    found.drop_table_from_database_and_remove_from_cache()


def _timed(took: list[float], work: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    result = work()
    took.append(time.perf_counter() - started)
    return result


def _splink_loaded() -> None:
    """Loading Splink is no part of either figure."""
    import splink

    assert splink
