"""How a long run goes: blocks, checkpoints, progress, and the workers of a cluster."""
