"""The stored model of a reconciliation: what training learned, as JSON text known by its hash.

Two parts stand in it. The *odds* are what the probabilistic method compares and how telling each
level is; they are empty where nothing was learned yet. The *terms* are fee schedules and
settlement lags (`schedules`). Training on labels may add a third part: `classifier` and
`calibration`, JSON objects that `trust` reads, and the model's `card`. A run that is given a model
changes none of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from recon_kit.errors import MatchingError
from recon_kit.matching.ladders import Comparison, Level
from recon_kit.matching.schedules import Lag, Schedule
from recon_kit.model import StoredModel
from recon_kit.settings import Customers

FORMAT = 2


@dataclass(frozen=True, slots=True)
class Trained:
    """A stored model, read.

    `ladders` are the comparisons with their odds, `share` of left rows that find a partner,
    `rarity` the commonest terms by class (`rarity.count_terms`), `extra` the declared further
    fields, `customers` whose records told more of the rows, `unseen` the levels no true pair stood
    on, `schedules` and `lags` the terms, `classifier` and `calibration` what labels added, if
    anything, and `card` what training says of the model: it is hashed with the rest, so whoever
    approves a model approves its card.
    """

    ladders: tuple[Comparison, ...] = ()
    share: float = 0.5
    rarity: Mapping[str, str] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    customers: Customers = field(default_factory=Customers)
    unseen: tuple[str, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    lags: tuple[Lag, ...] = ()
    classifier: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    card: Mapping[str, Any] | None = None

    def odds(self) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        """(m, u) by comparison name, from the top level."""
        m = {c.name: [level.m for level in c.levels] for c in self.ladders}
        u = {c.name: [level.u for level in c.levels] for c in self.ladders}
        return m, u


def write(reconciliation: str, trained: Trained) -> StoredModel:
    """The model as JSON text, known by its hash; `read` is its inverse."""
    content = {
        "format": FORMAT,
        "odds": {
            "share": trained.share,
            "extra": list(trained.extra),
            "unseen": list(trained.unseen),
            "rarity": dict(trained.rarity),
            "comparisons": [_comparison_json(c) for c in trained.ladders],
            **_customers_json(trained.customers),
        },
        "terms": {
            "schedules": [asdict(s) for s in trained.schedules],
            "lags": [asdict(lag) for lag in trained.lags],
        },
        "classifier": trained.classifier,
        "calibration": trained.calibration,
        "card": trained.card,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return StoredModel(hashlib.sha256(text.encode()).hexdigest(), reconciliation, text)


def read(model: StoredModel) -> Trained:
    """A stored model's content, checked against its hash.

    Raises:
        MatchingError: the text is not what was stored, is of another format, or holds odds that
            are no probabilities.
    """
    of = model.reconciliation
    name = f"the stored model {model.model_hash[:12]} of {of!r}"
    if hashlib.sha256(model.json.encode()).hexdigest() != model.model_hash:
        raise MatchingError(f"{name} is not what was stored; train it again")
    content = json.loads(model.json)
    if content.get("format") != FORMAT:
        raise MatchingError(
            f"{name} has format {content.get('format')!r}, this version reads {FORMAT}; train a "
            f"new one with `recon train {of}` and promote it, or take this one back with "
            f"`recon rollback {of} --kind model`: then a run learns its own"
        )
    odds, terms = content["odds"], content["terms"]
    ladders = tuple(_comparison(c) for c in odds["comparisons"])
    _check_odds(name, ladders)
    return Trained(
        ladders=ladders,
        share=odds["share"],
        rarity=odds["rarity"],
        extra=tuple(odds["extra"]),
        customers=Customers.model_validate(odds.get("customers", {})),
        unseen=tuple(odds["unseen"]),
        schedules=tuple(Schedule(**s) for s in terms["schedules"]),
        lags=tuple(Lag(**lag) for lag in terms["lags"]),
        classifier=content["classifier"],
        calibration=content["calibration"],
        card=content.get("card"),
    )


def customers_of(model: StoredModel) -> Customers | None:
    """Whose records told more of the rows that its odds were learned from; none without odds."""
    odds = json.loads(model.json)["odds"]
    return Customers.model_validate(odds.get("customers", {})) if odds["comparisons"] else None


def is_older(model: StoredModel) -> bool:
    """Whether an earlier version of the product wrote the model, so that `read` refuses it."""
    told = json.loads(model.json).get("format")
    return isinstance(told, int) and told < FORMAT


def with_odds(
    ladders: Sequence[Comparison],
    m: Mapping[str, Sequence[float]],
    u: Mapping[str, Sequence[float]],
) -> tuple[Comparison, ...]:
    """The ladders with these odds in place of the default ones."""
    return tuple(
        replace(
            c,
            levels=tuple(
                replace(level, m=m_of, u=u_of)
                for level, m_of, u_of in zip(c.levels, m[c.name], u[c.name], strict=True)
            ),
        )
        for c in ladders
    )


def _customers_json(customers: Customers) -> dict[str, Any]:
    """Nothing where none are read: a model learned before there were any keeps its hash."""
    return {"customers": customers.model_dump(mode="json")} if customers.sources else {}


def _comparison_json(ladder: Comparison) -> dict[str, Any]:
    return {
        "name": ladder.name,
        "label": ladder.label,
        "null": ladder.null_sql,
        "levels": [asdict(level) for level in ladder.levels],
    }


def _comparison(told: Mapping[str, Any]) -> Comparison:
    levels = tuple(Level(**level) for level in told["levels"])
    return Comparison(told["name"], told["label"], told["null"], levels)


def _check_odds(name: str, ladders: Sequence[Comparison]) -> None:
    """A weight is log2(m / u): from 0 or NaN comes no number, and NaN would pass any threshold."""
    for ladder in ladders:
        for level in ladder.levels:
            if not (0 < level.m <= 1 and 0 < level.u <= 1):
                raise MatchingError(
                    f"{name}: {ladder.name}, {level.label!r} has odds m={level.m!r}, "
                    f"u={level.u!r}, which are no probabilities above 0; train it again"
                )
