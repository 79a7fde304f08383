"""The guides of a gene compared, as they must agree when they act through it alone."""
