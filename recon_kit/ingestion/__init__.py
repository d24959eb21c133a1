"""Native files in, canonical events out: nothing is inferred, nothing is lost."""
