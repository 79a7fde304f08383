"""Whether perturbations move their genes, and tell candidates apart."""
