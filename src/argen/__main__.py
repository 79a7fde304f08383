"""Run the command line as ``python -m argen``."""

from argen.cli import main

main()
