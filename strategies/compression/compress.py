"""What becomes of a personal model: an allotment carried out, or a student taught; each step only where it helps.

Prune, distil, code, distil once more.

Fine-tuning on few samples can hurt mild variants, so that what it gives is kept only where it lowers the loss on the
validation split.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.mask import Mask
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.net import Conv, Linear, Net
from fedtailor.protos.samples import DeviceData
from fedtailor.strategies.answers import mean_loss
from fedtailor.strategies.compression.allotment import Allotment, Coding
from fedtailor.strategies.compression.code_weights import code
from fedtailor.strategies.compression.distil import distil
from fedtailor.strategies.compression.prune import prune, removals
from fedtailor.strategies.compression.removal import Removal
from fedtailor.strategies.compression.spread import spread_rows
from fedtailor.strategies.compression.students import students
from fedtailor.strategies.graph.groups import channel_groups
from fedtailor.strategies.graph.realise import realise

CALIBRATION_ROWS = 512
LEARNING_RATE = 6e-3  # half and twice as much differ by less than seeds do
STUDENT_CODING = Coding(6)
_TRIAL = 4  # each depth of student is taught for a fourth of the steps before one is chosen


@dataclass(frozen=True, eq=False)
class Cloth:
    """What every variant of one device is cut from: the personal fp32 model and the device's own rows.

    `ram_bytes` is what one training step may take beside the teacher's parameters; None is no limit.
    """

    personal: Net
    data: DeviceData
    spec: ModelSpec
    seed: int
    ram_bytes: int | None = None

    @cached_property
    def calibration(self) -> NDArray[np.generic]:
        """Train rows, evenly spread."""
        return spread_rows(self.data.train.x, CALIBRATION_ROWS)

    @cached_property
    def removals(self) -> Mapping[str, Removal]:
        """In which order channels go, and at what cost: the same for all variants."""
        return removals(self.personal, self.calibration, channel_groups(self.personal))


def compress(cloth: Cloth, allotment: Allotment, steps: int) -> tuple[Net, Mask]:
    """The personal model with fewer channels and coded weights, still in float32, and which channels it kept.

    steps: of distillation in float32 before coding, and half as many after it; 0 leaves both out.

    Raises:
        PlanError: the allotment does not fit the net, there are no train rows, or no training step fits into memory.
    """
    pruned, mask = prune(cloth.personal, cloth.calibration, allotment.keep, found=cloth.removals)
    narrow = _distilled(cloth, pruned, steps, cloth.seed) if mask.layers else pruned
    coded = code(narrow, cloth.calibration, allotment.coding)
    return _distilled(cloth, coded, steps // 2, cloth.seed + 1, allotment.coding), mask


def compress_student(cloth: Cloth, share: float, steps: int) -> tuple[Net, Mask]:
    """A net of at most `share` of the parameters, of the depth that learns best, taught by the personal model; coded.

    steps: as in `compress`.

    Raises:
        PlanError: no student is small enough, there are no train rows, or no training step fits into memory.
    """
    menu = students(cloth.personal, cloth.calibration, share)
    tried = [(_distilled(cloth, net, steps // _TRIAL, cloth.seed), mask) for net, mask in menu]
    chosen, mask = min(tried, key=lambda each: _validation_loss(cloth, each[0]))
    taught = _distilled(cloth, chosen, steps, cloth.seed)
    coding = {layer.name: STUDENT_CODING for layer in taught.layers if isinstance(layer, Conv | Linear)}
    coded = code(taught, cloth.calibration, coding)
    return _distilled(cloth, coded, steps // 2, cloth.seed + 1, coding), mask


def _distilled(cloth: Cloth, net: Net, steps: int, seed: int, coding: Mapping[str, Coding] | None = None) -> Net:
    """The better of before and after, by the validation loss."""
    if steps == 0:
        return net
    tuned = distil(
        net,
        cloth.personal,
        cloth.data.train,
        spec=cloth.spec,
        steps=steps,
        seed=seed,
        learning_rate=LEARNING_RATE,
        coding=coding,
        ram_bytes=cloth.ram_bytes,
    )
    return min((net, tuned), key=lambda candidate: _validation_loss(cloth, candidate))


def _validation_loss(cloth: Cloth, net: Net) -> float:
    return mean_loss(realise(net), cloth.data.validation, cloth.spec)
