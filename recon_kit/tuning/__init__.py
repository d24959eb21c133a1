"""Manual decisions become labels, models and certified thresholds."""
