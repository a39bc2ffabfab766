"""NNCF's post-training quantisation with its defaults: min-max calibration and fast bias correction."""

from importlib import import_module

from fedtailor.simulations.peers.peer import BENCH_EXTRA, Peer, PeerTask, register

QUIET = {"CI": "true"}  # the one way to keep openvino-telemetry from calling home without changing the user's consent


def _quantise(task: PeerTask) -> bytes:
    nncf = import_module("nncf")
    rows = nncf.Dataset(task.feeds())
    made = nncf.quantize(task.read_model(), rows, subset_size=len(task.calibration))
    return bytes(made.SerializeToString())


NNCF_PTQ = register(Peer(name="nncf-ptq", package="nncf", install=BENCH_EXTRA, quantise=_quantise, environment=QUIET))
