"""Other ways to a network, with the input and the result type of the method itself."""

from argen.baselines.naive import infer_naive

__all__ = ["infer_naive"]
