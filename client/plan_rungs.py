"""The allotments of a ladder, planned layer by layer for one device from its own rows and its own latencies."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fedtailor.client.latency_table import LatencyTable
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.net import Net
from fedtailor.strategies.compression.allotment import Allotment
from fedtailor.strategies.planning.cost_model import float_bytes
from fedtailor.strategies.planning.plan_layers import Choices, Limits, allot, choices_for
from fedtailor.strategies.planning.sensitivity import sensitivities


def layer_choices(net: Net, calibration: NDArray[np.generic], spec: ModelSpec, table: LatencyTable) -> Choices:
    """What each choice for each layer costs on this device; `allot` then answers for any limits in milliseconds.

    Args:
        net: The personal net with float weights.
        calibration: Its train rows [N, *net.input_shape].
        spec: Says the kind of task.
        table: Latencies of this device.

    Raises:
        PlanError: there are fewer than two rows, or the net's layers do not fit each other.
    """
    return choices_for(net, sensitivities(net, calibration, spec), table.latencies(net, calibration))


def plan_allotments(
    net: Net,
    calibration: NDArray[np.generic],
    spec: ModelSpec,
    *,
    targets: Iterable[float],
    latency_table: LatencyTable,
    latency_us: float | None = None,
    memory_bytes: float | None = None,
) -> dict[float, Allotment]:
    """For each target the allotment of least predicted loss; sensitivities are measured once for all of them.

    Args:
        net: The personal net with float weights.
        calibration: Its train rows.
        spec: Says the kind of task.
        targets: Payload bytes as a share of 4 bytes a parameter.
        latency_table: Latencies of this device.
        latency_us: At most; None is what the dense net takes in float32.
        memory_bytes: Of a session, modelled, at most; None is no limit.

    Raises:
        PlanError: as `layer_choices`, or a target cannot be met; the message says the least that can.
    """
    choices = layer_choices(net, calibration, spec, latency_table)
    dense_bytes = float_bytes(net)
    return {target: allot(choices, Limits(target * dense_bytes, latency_us, memory_bytes)) for target in targets}
