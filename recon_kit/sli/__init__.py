"""Measured rates, each defined once: numerator, denominator, unit, clock."""
