"""Run one method on one screen, in the method's own environment: numpy is all that is shared.

Usage: worker.py METHOD SCREEN.npz OUT.npz
"""

import importlib.util
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def log_expression(screen) -> np.ndarray:
    """Log-normalised counts, covariates regressed out, in units of the controls.

    ``log(1 + median C y / C)`` by cell; the slopes of the covariates are fitted to the controls,
    and each gene has mean 0 and standard deviation 1 there: (n_cells, n_genes).
    """
    size = screen["library_size"]
    expression = np.log1p(screen["counts"] / size[:, None] * np.median(size))
    regressors = np.column_stack([np.ones(len(size)), screen["covariates"]])
    control = screen["node_of_cell"] < 0
    slopes = np.linalg.lstsq(regressors[control], expression[control], rcond=None)[0]
    residual = expression - regressors @ slopes
    return residual / np.maximum(residual[control].std(axis=0), 1e-9)


def main() -> None:
    """Load, fit, and write the edges, their scores where there are any, and the seconds."""
    method, source, out = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("method", HERE / "methods" / f"{method}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with np.load(source) as screen:
        expression, node_of_cell = log_expression(screen), screen["node_of_cell"]
    start = time.perf_counter()
    edges = np.asarray(module.fit(expression, node_of_cell), dtype=float)
    np.savez(out, edges=edges, seconds=time.perf_counter() - start)


if __name__ == "__main__":
    main()
