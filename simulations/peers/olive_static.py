"""Olive's static quantisation pass, asked for what suits ONNX Runtime on a CPU: u8 activations, s8 per channel."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtailor.simulations.peers.peer import BENCH_EXTRA, Peer, PeerTask, register

_DATA = "fedtailor_calibration"


class _Rows:
    """Olive's loader adds the batch axis itself and wants a label beside each row."""

    def __init__(self, task: PeerTask) -> None:
        self._name, self._rows = task.input_name, task.calibration

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: int) -> tuple[dict[str, NDArray[np.generic]], int]:
        return {self._name: self._rows[at]}, 0


def _quantise(task: PeerTask) -> bytes:
    static = import_module("olive.passes.onnx.quantization").OnnxStaticQuantization
    create = import_module("olive.passes.olive_pass").create_pass_from_dict
    model = import_module("olive.model").ONNXModelHandler(str(task.write_model()))
    settings = {"data_config": _data(task), "precision": "int8", "activation_type": "uint8", "per_channel": True}
    made = create(static, settings, disable_search=True).run(model, str(task.folder / "olive"))
    return Path(made.model_path).read_bytes()


def _data(task: PeerTask) -> Any:
    """The calibration rows as Olive's data configuration."""
    config = import_module("olive.data.config")
    import_module("olive.data.registry").Registry.register_dataset(_DATA)(lambda **_: _Rows(task))
    return config.DataConfig(
        name="calibration",
        load_dataset_config=config.DataComponentConfig(type=_DATA),
        pre_process_data_config=config.DataComponentConfig(type="skip_pre_process"),
        post_process_data_config=config.DataComponentConfig(type="skip_post_process"),
    )


OLIVE_STATIC = register(
    Peer(
        name="olive-static",
        package="olive",
        install=BENCH_EXTRA,
        quantise=_quantise,
        environment={"OLIVE_DISABLE_TELEMETRY": "1"},
    )
)
