"""The command line."""

from argen.cli.app import main

__all__ = ["main"]
