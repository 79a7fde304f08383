"""Every method by its name: the method itself, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Literal, Unpack, get_args

from argen.config import InferenceConfig
from argen.data import PerturbSeqData
from argen.errors import InputError, first_few, nearest
from argen.method.inverse import infer_inverse
from argen.method.naive import infer_naive
from argen.method.pairs import infer_random, infer_screen_only
from argen.method.pipeline import infer_network
from argen.method.running import HowToRun
from argen.network import CausalNetwork

Method = Literal["argen", "naive", "inverse", "inverse-sparse", "screen", "random"]

METHODS: Mapping[str, Callable[..., CausalNetwork]] = MappingProxyType(
    {
        "argen": infer_network,
        "naive": infer_naive,
        "inverse": infer_inverse,
        "inverse-sparse": partial(infer_inverse, sparse=True),
        "screen": infer_screen_only,
        "random": infer_random,
    }
)


def infer_by(
    method: Method,
    data: PerturbSeqData,
    config: InferenceConfig | None = None,
    **how: Unpack[HowToRun],
) -> CausalNetwork:
    """Infer a network by the method of a name.

    Parameters
    ----------
    method
        "argen": ``infer_network``; "naive": regression on measured expression; "inverse":
        inverse of the matrix of total effects, "inverse-sparse": with those alone that the
        screen finds; "screen": every descendant an edge; "random": as many random pairs.
    how
        ``executor``, ``checkpoint``, ``progress`` and ``command``, as for ``infer_network``.
    """
    if method not in METHODS:
        known = get_args(Method)
        raise InputError(
            f"method must be one of {first_few(known, len(known))}, not {method!r}."
            f"{nearest(str(method), known)}"
        )
    return METHODS[method](data, config, **how)


def method_of(network: CausalNetwork) -> Callable[..., CausalNetwork]:
    """Return the method that made a network, or say that it cannot be run again."""
    method = network.provenance.get("method", "argen")
    if method not in METHODS:
        raise InputError(
            f"The network was made by {method!r}, which cannot be run again: expected one of "
            f"{first_few(METHODS, len(METHODS))}."
        )
    return METHODS[method]
