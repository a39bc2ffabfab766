from dataclasses import replace

import numpy as np
import pytest
from small_nets import built_in, rows_for

from fedtailor.client.artefact import artefact, weight_bits
from fedtailor.client.export import to_onnx
from fedtailor.client.runtime import open_session, predict
from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import Mask
from fedtailor.protos.net import Activation, Conv, Linear, Net
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.code_weights import code
from fedtailor.strategies.graph.macs import macs
from fedtailor.strategies.integer.quantise import quantise
from fedtailor.strategies.payload.payload import pack

NET = built_in("conv1d")[1]
ROWS = rows_for(NET, 30)
LAYERS = [layer for layer in NET.layers if isinstance(layer, Conv | Linear)]


def coded(*bits):
    return code(NET, ROWS, {layer.name: Coding(width) for layer, width in zip(LAYERS, bits, strict=True)})


def test_an_artefact_is_its_file_its_payload_and_what_the_runtime_answers():
    made = artefact(NET, Mask(), ROWS)
    assert (made.model, made.payload, made.macs, made.precision) == (to_onnx(NET), pack(NET), macs(NET), "fp32")
    np.testing.assert_array_equal(made.outputs, predict(open_session(made.model), ROWS))


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
def test_bits_are_those_that_hold_the_integers_whichever_way_the_net_computes(bits):
    net = coded(*[bits] * len(LAYERS))
    assert weight_bits(net) == pytest.approx(bits, abs=1)
    assert weight_bits(quantise(net, ROWS)) == weight_bits(net)


def test_bits_are_a_mean_over_weights():
    widths = [8, 2, 4, 4][: len(LAYERS)]
    each = [
        weight_bits(Net((1,), False, (layer,))) for layer in coded(*widths).layers if isinstance(layer, Conv | Linear)
    ]
    sizes = [layer.weight.size for layer in LAYERS]
    assert weight_bits(coded(*widths)) == pytest.approx(np.average(each, weights=sizes))


def test_weights_that_are_not_coded_take_32_bits_and_so_does_a_net_without_any():
    assert weight_bits(NET) == 32
    assert weight_bits(Net((3,), False, (Activation("relu", "relu"),))) == 32


def test_nan_is_no_artefact():
    layers = [replace(layer, bias=layer.bias * np.nan) if isinstance(layer, Linear) else layer for layer in NET.layers]
    with pytest.raises(PlanError, match="answers NaN or infinity"):
        artefact(replace(NET, layers=tuple(layers)), Mask(), ROWS)


def test_without_rows_there_is_an_artefact_all_the_same():
    assert artefact(NET, Mask(), ROWS[:0]).outputs.shape == (0, 7)
