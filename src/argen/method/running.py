"""What all baselines share: how they are run, and how their results are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from argen.network import CausalNetwork
from argen.run import Checkpoint, Executor, Progress


class HowToRun(TypedDict, total=False):
    """Arguments of ``infer_network`` that no result depends on."""

    executor: Executor | None
    checkpoint: str | Path | Checkpoint | None
    progress: Progress | None
    command: str | None


def named(network: CausalNetwork, method: str, **about: object) -> CausalNetwork:
    """Return a network of another method, with its name and more about it in its provenance."""
    provenance = network.provenance | {"method": method} | about
    return replace(network, provenance=provenance, two_stages=False)
