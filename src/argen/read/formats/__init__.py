"""Opening a screen, whatever it is kept in, as AnnData would have it."""

from argen.read.formats.anndata import OpenAnnData
from argen.read.formats.opening import open_screen

__all__ = [
    "OpenAnnData",
    "open_screen",
]
