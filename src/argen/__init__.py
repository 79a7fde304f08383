"""Causal gene networks from Perturb-seq, robust to confounders that nobody measured."""

import lazy_loader

__version__ = "0.1.0"

# Public names are loaded on first use; which they are, and from where, stands in __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
