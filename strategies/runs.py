"""Standard errors of rows that depend on their neighbours: from the means of a few runs of consecutive rows.

Source: batch means, Schmeiser 1982, Operations Research 30(3), 556-568. They hold while rows a
run apart tell nothing of each other. A run is a tenth of the rows, or eight where that is more.
"""

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.schema import Doubles

MOST, SHORTEST, FEWEST = 10, 8, 3


def runs_of(rows: int) -> int:
    """How many runs so many rows make; 0 where they are too few for any."""
    runs = min(MOST, rows // SHORTEST)
    return runs if runs >= FEWEST else 0


def run_rows(rows: int) -> list[NDArray[np.intp]]:
    """The row numbers of each run; runs are about equally long."""
    runs = runs_of(rows)
    return np.array_split(np.arange(rows), runs) if runs else []


def standard_error(run_means: Doubles) -> Doubles:
    """Of the mean over all rows, from those of the runs [runs, ...], at least two."""
    error: Doubles = run_means.std(0, ddof=1) / np.sqrt(len(run_means))
    return error


def mean_error(values: Doubles) -> float:
    """The standard error of the mean of `values` [rows]; 0 where they are too few for `runs_of`."""
    runs = run_rows(len(values))
    return float(standard_error(np.array([values[rows].mean() for rows in runs]))) if runs else 0.0
