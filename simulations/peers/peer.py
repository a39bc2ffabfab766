"""A peer: a tool that makes a smaller model of an fp32 ONNX file and calibration rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from fedtailor.client.runtime import open_session, predict
from fedtailor.protos.samples import Samples
from fedtailor.strategies.task import TASKS

BENCH_EXTRA = "pip install 'fedtailor[bench]'"
TOLERATED = 0.01  # loss of validation quality, as a share of the fp32 model's, that a tuning peer may accept


@dataclass(frozen=True, eq=False)
class Validation:
    """How well a model answers the validation rows: above 0, higher is better, as tuning peers want it.

    That is the task's score, or its inverse where lower is better. A noun, not a closure: it goes to another process.
    """

    kind: str
    rows: Samples

    def __call__(self, model: bytes) -> float:
        task = TASKS[self.kind]
        score = task.score(predict(open_session(model), self.rows.x), self.rows.y)
        return score if task.better == "higher" else 1 / score


@dataclass(frozen=True, eq=False)
class PeerTask:
    """What a peer is given.

    Args:
        model: fp32 ONNX with one input, [N, *sample].
        calibration: rows [N, *sample].
        validate: quality of a serialised model; above 0, higher is better.
        folder: an empty folder for whatever it writes.
    """

    model: bytes
    calibration: NDArray[np.generic]
    validate: Callable[[bytes], float]
    folder: Path

    @property
    def input_name(self) -> str:
        return str(onnx.load_from_string(self.model).graph.input[0].name)

    def read_model(self) -> onnx.ModelProto:
        """The model with a name for every node: several peers tell nodes apart by it."""
        model = onnx.load_from_string(self.model)
        for at, node in enumerate(model.graph.node):
            node.name = node.name or f"{node.op_type}_{at}"
        return model

    def write_model(self) -> Path:
        """The path of `read_model` as a file in the folder."""
        path = self.folder / "fp32.onnx"
        onnx.save(self.read_model(), path)
        return path

    def feeds(self) -> list[dict[str, NDArray[np.generic]]]:
        """Each calibration row as the inputs of one run."""
        name = self.input_name
        return [{name: row[None]} for row in self.calibration]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """`package` is the module it needs and `install` the command that brings it; `quantise` answers serialised ONNX.

    `environment` is set in the peer's own process before `package` is imported: no peer calls home from a benchmark.
    """

    name: str
    package: str
    install: str
    quantise: Callable[[PeerTask], bytes]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def installed(self) -> bool:
        return find_spec(self.package) is not None


PEERS: dict[str, Peer] = {}


def register(peer: Peer) -> Peer:
    """Make a peer known by its name."""
    PEERS[peer.name] = peer
    return peer


class CalibrationReader:
    """Rows one at a time, then None, as ONNX Runtime's calibration and its descendants ask for them."""

    def __init__(self, task: PeerTask) -> None:
        self._feeds = task.feeds()
        self.rewind()

    def get_next(self) -> dict[str, NDArray[np.generic]] | None:
        return next(self._left, None)

    def rewind(self) -> None:
        self._left = iter(self._feeds)
