"""Count regressions on plain arrays: Poisson and negative binomial, robust and two-stage."""
