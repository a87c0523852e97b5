"""One verb, one file, no algorithm."""
