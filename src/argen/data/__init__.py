"""What was measured: counts, perturbations, covariates, and the design made of them."""
