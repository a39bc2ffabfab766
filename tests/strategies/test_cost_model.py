import numpy as np
import pytest
from small_nets import SPECS, built_in, rows_for

from fedtailor.protos.net import Conv, Embedding, Linear
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.code_weights import code
from fedtailor.strategies.payload.packed_bits import packed_bits
from fedtailor.strategies.payload.payload import pack
from fedtailor.strategies.planning.cost_model import LAYER_BYTES, NET_BYTES, float_bytes, layer_bytes, session_bytes


@pytest.mark.parametrize(("name", "bits"), [*zip(SPECS, [4, 2, 3, 4, 2, 6], strict=True)])
def test_a_payload_takes_what_the_model_says(name, bits):
    net = built_in(name)[1]
    weighted = [layer.name for layer in net.layers if isinstance(layer, Conv | Linear)]
    coded = code(net, rows_for(net, 16), dict.fromkeys(weighted, Coding(bits)))
    expected = NET_BYTES + LAYER_BYTES * len(net.layers)
    for layer in coded.layers:
        if isinstance(layer, Conv | Linear):
            integers = np.rint(layer.weight / layer.scales.reshape(-1, *[1] * (layer.weight.ndim - 1)))
            expected += layer_bytes(len(layer.weight), layer.weight[0].size, packed_bits(integers) / integers.size)
        elif isinstance(layer, Embedding):
            expected += layer_bytes(layer.table.shape[1], len(layer.table), 32.0)
    assert len(pack(coded)) == pytest.approx(float(expected), rel=0.06)


def test_float_bytes_count_every_number():
    module, net = built_in("mlp")
    numbers = sum(parameter.numel() for parameter in module.parameters())
    standardisation = 2 * 11
    assert float_bytes(net) == 4 * (numbers + standardisation)


def test_int8_takes_a_quarter_of_the_memory():
    assert session_bytes(8, 9, 100, integer=False) == 4 * session_bytes(8, 9, 100, integer=True) == 4 * 8 * 109
