import numpy as np
import pytest
from small_nets import GRAPHS, SPECS, built_in, graph, rows_for

from fedtailor.client import forms as ways
from fedtailor.client.artefact import artefact, weight_bits
from fedtailor.client.export import to_onnx
from fedtailor.client.forms import FASTEST, FP32, INT8, forms, precision_of
from fedtailor.client.runtime import open_session, predict
from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import Mask
from fedtailor.protos.net import Activation, Conv, Linear, Net
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.block_linear import to_block_linear
from fedtailor.strategies.compression.code_weights import code
from fedtailor.strategies.payload.payload import unpack


def coded(net, rows, bits=4):
    return code(net, rows, {layer.name: Coding(bits) for layer in net.layers if isinstance(layer, Conv | Linear)})


@pytest.mark.parametrize("name", SPECS)
def test_a_recipe_gets_the_precision_it_asks_for_or_both(name):
    net = built_in(name)[1]
    rows = rows_for(net, 40)
    net = coded(net, rows)
    assert [precision_of(form) for form in forms(net, rows, INT8)] == [INT8]
    assert forms(net, rows, FP32) == (net,)
    assert [precision_of(form) for form in forms(net, rows, FASTEST)] == [INT8, FP32]


@pytest.mark.parametrize("name", GRAPHS)
def test_every_form_is_an_artefact_that_comes_back_from_its_payload(name):
    net = graph(name)
    rows = rows_for(net, 20)
    for form in forms(coded(net, rows), rows, FASTEST):
        made = artefact(form, Mask(), rows)
        again = predict(open_session(to_onnx(unpack(made.payload))), rows)
        np.testing.assert_array_equal(again, made.outputs)


def test_what_has_no_integer_form_computes_in_float32():
    net = Net((3,), False, (Activation("relu", "relu"),))
    assert forms(net, np.zeros((4, 3), np.float32), FASTEST) == (net,)
    with pytest.raises(PlanError, match="no convolution and no linear layer"):
        forms(net, np.zeros((4, 3), np.float32), INT8)


def test_large_linear_layers_in_four_bit_blocks_are_a_form_where_those_are_faster(monkeypatch):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(256, 256)).astype(np.float32)
    net = Net((256,), False, (Linear("large", weight, np.zeros(256, np.float32)),))
    rows = rng.normal(size=(30, 256)).astype(np.float32)
    monkeypatch.setattr("fedtailor.client.block_linear._faster", lambda layer, *_: to_block_linear(layer, 32))
    found = forms(coded(net, rows), rows, FASTEST)
    assert [precision_of(form) for form in found] == ["int8", "fp32", "int4"]
    assert weight_bits(found[2]) == 4
    wanted, got = (artefact(form, Mask(), rows).outputs for form in found[1:])
    assert np.abs(got - wanted).max() < 0.05 * np.abs(wanted).max()


def test_small_nets_are_not_measured_in_blocks(monkeypatch):
    monkeypatch.setattr("fedtailor.client.block_linear._faster", lambda *_: pytest.fail("measured"))
    net = built_in("conv2d")[1]
    assert len(forms(net, rows_for(net, 20), FASTEST)) == 2


def test_an_unknown_precision_is_refused_before_anything_is_made(monkeypatch):
    monkeypatch.setattr(ways, "quantise", lambda *_: pytest.fail("made"))
    net = built_in("mlp")[1]
    with pytest.raises(PlanError, match="precision must be int8, fp32 or fastest, got 'fp4'"):
        forms(net, rows_for(net, 20), "fp4")
