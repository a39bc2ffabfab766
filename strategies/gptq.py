"""Weights rounded one input at a time, each error compensated by the inputs that follow.

Source: Frantar et al. 2022, GPTQ, arXiv:2210.17323, algorithm 1; inputs are taken in order of their energy.
"""

import numpy as np

from fedtailor.protos.schema import Doubles

_DAMPING = 0.01  # of the mean energy of an input, as in the paper's section 3.3


def round_compensated(weight: Doubles, scales: Doubles, top: int, energy: Doubles) -> Doubles:
    """Integers −top to top whose layer answers like `weight` on the inputs it has seen.

    weight [out, in], scales [out]; energy [in, in] is the mean of x·xᵀ over the layer's inputs. Returns [out, in].
    """
    order = np.argsort(-np.diag(energy), kind="stable")
    left = weight[:, order].copy()
    damped = energy[np.ix_(order, order)].copy()
    damped[np.diag_indices_from(damped)] += _DAMPING * np.diag(energy).mean() + 1e-12
    spread = np.linalg.cholesky(np.linalg.inv(damped)).T
    rounded = np.empty_like(left)
    for at in range(left.shape[1]):
        rounded[:, at] = np.clip(np.rint(left[:, at] / scales), -top, top)
        error = (left[:, at] - rounded[:, at] * scales) / spread[at, at]
        left[:, at + 1 :] -= np.outer(error, spread[at, at + 1 :])
    return rounded[:, np.argsort(order)]
