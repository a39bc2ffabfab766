"""Neural Compressor's autotune for ONNX: its static configurations in turn until one is within the tolerated loss.

Neural Compressor 3.8 and later know no ONNX; what does is onnx-neural-compressor, whose metadata asks for numpy below
2. It works with numpy 2 all the same, so it is installed without its dependencies and stands in no extra.
"""

from importlib import import_module

import onnx

from fedtailor.simulations.peers.peer import TOLERATED, CalibrationReader, Peer, PeerTask, register


def _quantise(task: PeerTask) -> bytes:
    quantization = import_module("onnx_neural_compressor.quantization")
    config, tuning = (import_module(f"{quantization.__name__}.{name}") for name in ("config", "tuning"))
    settings = config.StaticQuantConfig.get_config_set_for_tuning(quant_format=quantization.QuantFormat.QDQ)
    try:
        best = tuning.autotune(
            str(task.write_model()),
            tuning.TuningConfig(config_set=settings, tolerable_loss=TOLERATED),
            eval_fn=lambda path: task.validate(onnx.load(path).SerializeToString()),  # its weights lie beside it
            calibration_data_reader=CalibrationReader(task),
        )
    except SystemExit:  # its way to say so
        raise RuntimeError(f"none of its configurations came within {TOLERATED:.0%} of the fp32 model") from None
    return bytes(best.SerializeToString())


INC = register(
    Peer(
        name="inc-autotune",
        package="onnx_neural_compressor",
        install="pip install --no-deps onnx-neural-compressor py-cpuinfo prettytable",
        quantise=_quantise,
    )
)
