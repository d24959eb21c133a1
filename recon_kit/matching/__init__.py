"""Which facts tell the same story: the cascade of methods, with evidence and confidence."""
