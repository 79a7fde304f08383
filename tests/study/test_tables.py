"""The grid as tables to read."""

import numpy as np
import pandas as pd

from argen.study.tables import SHOWN, grid_page


def test_means_errors_and_gaps():
    rows = [
        {"setting": s, "method": m, "measure": measure, "mean": mean, "error": error}
        for measure, _, _ in SHOWN
        for s, m, mean, error in (
            ("small", "argen", 0.5, 0.01),
            ("small", "screen", np.nan, np.nan),
            ("large", "argen", 0.25, np.nan),
        )
    ]
    page = grid_page(pd.DataFrame(rows))
    assert page.count("## ") == len(SHOWN)
    first = page.split("\n\n")[1].splitlines()
    assert first == [
        "| setting | argen | screen |",
        "| --- | ---: | ---: |",
        "| small | 0.500 ± 0.010 |  |",
        "| large | 0.250 |  |",
        "| mean over settings | 0.375 |  |",
    ]
