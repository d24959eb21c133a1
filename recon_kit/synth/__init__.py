"""The synthetic twin: native files of an invented shop, with the truth beside them."""
