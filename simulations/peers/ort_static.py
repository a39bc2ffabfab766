"""ONNX Runtime's own static quantisation: u8 activations, s8 weights with a scale per channel, min-max calibration."""

from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from fedtailor.simulations.peers.peer import CalibrationReader, Peer, PeerTask, register


def _quantise(task: PeerTask) -> bytes:
    prepared, made = task.folder / "prepared.onnx", task.folder / "int8.onnx"
    # symbolic shapes fail on graphs of torch's exporter; sizes are fixed but for the batch, and ONNX infers those
    quant_pre_process(str(task.write_model()), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(made),
        CalibrationReader(task),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return made.read_bytes()


ORT_STATIC = register(Peer(name="ort-static", package="onnxruntime", install="", quantise=_quantise))
