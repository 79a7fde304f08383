"""Screens with a known network: structural equations to counts."""

from argen.simulate.files import simulated_anndata, write_screen
from argen.simulate.model import ScreenModel
from argen.simulate.paper import simulate_paper_screen
from argen.simulate.profile import ScreenProfile, like
from argen.simulate.screen import simulate_screen
from argen.simulate.truth import Truth

__all__ = [
    "ScreenModel",
    "ScreenProfile",
    "Truth",
    "like",
    "simulate_paper_screen",
    "simulate_screen",
    "simulated_anndata",
    "write_screen",
]
