"""Other ways to a network, with the input and the result type of the method itself."""

from argen.baselines.inverse import infer_inverse
from argen.baselines.naive import infer_naive
from argen.baselines.pairs import infer_random, infer_screen_only

__all__ = ["infer_inverse", "infer_naive", "infer_random", "infer_screen_only"]
