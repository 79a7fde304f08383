"""The command line."""

from argen.cli.app import app, main

__all__ = ["app", "main"]
