"""Facts as they were told: append-only segments, one SQLite commit point, snapshots as-of."""
