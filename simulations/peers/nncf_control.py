"""NNCF's quantisation with accuracy control: layers go back to fp32 until the loss is within the tolerated one."""

from collections.abc import Iterable
from importlib import import_module

import onnx

from fedtailor.simulations.peers.nncf_ptq import QUIET
from fedtailor.simulations.peers.peer import BENCH_EXTRA, TOLERATED, Peer, PeerTask, register


def _quantise(task: PeerTask) -> bytes:
    nncf = import_module("nncf")

    def validate(model: onnx.ModelProto, _: Iterable[object]) -> tuple[float, None]:
        return task.validate(model.SerializeToString()), None

    made = nncf.quantize_with_accuracy_control(
        task.read_model(),
        calibration_dataset=nncf.Dataset(task.feeds()),
        validation_dataset=nncf.Dataset(["the whole validation split"]),  # the task holds it
        validation_fn=validate,
        max_drop=TOLERATED,
        drop_type=nncf.DropType.RELATIVE,
        subset_size=len(task.calibration),
    )
    return bytes(made.SerializeToString())


NNCF_CONTROL = register(
    Peer(name="nncf-control", package="nncf", install=BENCH_EXTRA, quantise=_quantise, environment=QUIET)
)
