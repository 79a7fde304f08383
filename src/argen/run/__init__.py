"""How a long run goes: blocks, checkpoints, and the workers of a cluster."""

from argen.run.blocks import (
    Block,
    Executor,
    Progress,
    SerialExecutor,
    Stage,
    run_stage,
)
from argen.run.checkpoint import Checkpoint
from argen.run.dask import DaskExecutor

__all__ = [
    "Block",
    "Checkpoint",
    "DaskExecutor",
    "Executor",
    "Progress",
    "SerialExecutor",
    "Stage",
    "run_stage",
]
