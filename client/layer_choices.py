"""What can be chosen for each layer on this device, and what that costs, from its own rows and its own latencies."""

import numpy as np
from numpy.typing import NDArray

from fedtailor.client.latency_table import LatencyTable
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.net import Net
from fedtailor.strategies.planning.plan_layers import Choices, choices_for
from fedtailor.strategies.planning.sensitivity import sensitivities


def layer_choices(net: Net, calibration: NDArray[np.generic], spec: ModelSpec, table: LatencyTable) -> Choices:
    """What each choice for each layer costs on this device; `allot` then answers for any limits at once.

    Args:
        net: The personal net with float weights.
        calibration: Its train rows [N, *net.input_shape].
        spec: Says the kind of task.
        table: Latencies of this device.

    Raises:
        PlanError: there are fewer than two rows, or the net's layers do not fit each other.
    """
    return choices_for(net, sensitivities(net, calibration, spec), table.latencies(net, calibration))
