"""Random-looking bits from integers: the same on every platform and with every version of a library.

Source: Steele, Lea and Flood 2014, OOPSLA (SplitMix64).
"""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
_GOLDEN = 0x9E3779B97F4A7C15


def integer_hash(seed: int, count: int) -> Words:
    """`count` words of 64 bits; `seed` is 0 to 2**64 − 1."""
    states = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(seed)
    states = (states ^ states >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    states = (states ^ states >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return states ^ states >> np.uint64(31)
