"""Quality control before a network is inferred, and the choice of its nodes."""

from argen.qc.choice import NodeChoice
from argen.qc.quality import NODES_FILE, QualityControl, quality_control

__all__ = ["NODES_FILE", "NodeChoice", "QualityControl", "quality_control"]
