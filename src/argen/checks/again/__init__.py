"""The network inferred again: from resampled cells, other choices, and parts left out."""
