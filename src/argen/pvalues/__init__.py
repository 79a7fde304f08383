"""P-values: normal tails, adjustment for many tests, comparison with no effect."""
