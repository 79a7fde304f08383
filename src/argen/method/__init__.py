"""Other ways to a network, with the input and the result type of the method itself."""

from argen.method.inverse import infer_inverse
from argen.method.naive import infer_naive
from argen.method.pairs import infer_random, infer_screen_only

__all__ = ["infer_inverse", "infer_naive", "infer_random", "infer_screen_only"]
