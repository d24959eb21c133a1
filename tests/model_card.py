"""A model card written down: what the view, the notebook and the fake bench show."""

from __future__ import annotations

from recon_kit.present.modelcard import ModelView

_VALUES = {
    "unsupervised": (0.081, 0.979, 0.996, 0.921), "odds": (0.080, 0.980, 0.996, 0.934),
    "classifier": (0.071, 0.984, 0.997, 0.951),
}  # fmt: skip
_METRICS = ("log_loss", "f1", "precision_at_recall_90", "recall_at_precision_99")

CARD = {
    "reconciliation": "orders_to_payments", "seed": 7, "data_hash": "5f1c", "chosen": "classifier",
    "rows": {"left": 1_240, "right": 1_318, "candidates": 90_411},
    "share_with_counterpart": 0.74,
    "labels": {
        "events": 412, "kinds": {"counterpart": 305, "none": 107},
        "by_stream": [{"stream": "work", "verdict": "same", "labels": 305}],
        "left_out": {"audit": 40, "unsure": 6}, "not_open": 12, "never_compared": 2,
        "missing": 588,
    },
    "why": "the classifier lowers the log-loss by +0.0090 (95 % between +0.0031 and +0.0152)",
    "supports": ["412 labelled events: figures, a comparison with a classifier, and a line."],
    "figures": [
        {"model": model, "on": "folds", "metric": metric, "value": value, "low": value - 0.01,
         "high": value + 0.01}
        for model, values in _VALUES.items()
        for metric, value in zip(_METRICS, values, strict=True)
    ],
    "metrics": {"f1": "harmonic mean of precision and recall"}, "gains": {},
    "folds": {"components": 388, "largest_share": 0.01},
    "calibration": "Platt, slope 1.21, over 330 pairs; lowers the log-loss by +0.0041",
    "reliability": {
        side: [
            {"low": low, "high": low + 0.5, "pairs": pairs, "said": low + 0.25,
             "found": low + 0.25 + off, "found_low": low + 0.1, "found_high": low + 0.45}
            for low, pairs in ((0.0, 61), (0.5, 269))
        ]
        for side, off in (("before", 0.1), ("after", 0.0))
    },
    "weights": [
        {"comparison": comparison, "level": level, "weight": weight,
         "weight_without_labels": weight - 0.4}
        for comparison, level, weight in (
            ("amount", "same amount", 7.1), ("amount", "amounts differ", -8.9),
            ("customer", "same e-mail", 10.2), ("customer", "different", -5.5),
            ("time lag", "same day", 3.8), ("time lag", "outside the window", -6.0),
        )
    ],
    "classifier": None, "unseen": ["amount: currencies differ"],
    "drift": {"picked": 330, "score_bands": [61, 0, 0, 0, 0, 0, 0, 0, 0, 269], "levels": {}},
    "notes": [],
}  # fmt: skip
VIEW = ModelView(CARD, "4562e1448f6594e649ca93433b7831ce", "42a70c0b54d13e46eb7ff40683f72962")
