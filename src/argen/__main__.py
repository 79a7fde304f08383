"""Run the command line as ``python -m argen``."""

from argen.cli import main

if __name__ == "__main__":  # other processes of a study import this file too
    main()
