from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from small_nets import SPECS, built_in, chains, rows_for, thinned

from fedtailor.client.export import to_onnx
from fedtailor.client.runtime import open_session, optimised_operators, predict
from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Conv, Linear, Net
from fedtailor.protos.quantised_net import QuantisedLinear, QuantisedNet
from fedtailor.strategies.quantise import quantise
from fedtailor.strategies.realise import realise

FLOAT_KERNELS = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "MaxPool", "GlobalAveragePool", "ReduceMean"}


def computed(net, x):
    with torch.no_grad():
        return realise(net)(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("keep", [1.0, 0.5])
@pytest.mark.parametrize("name", SPECS)
def test_the_fp32_artefact_answers_like_torch(name, keep):
    net = thinned(built_in(name)[1], keep)
    x = rows_for(net, 7)
    np.testing.assert_allclose(predict(open_session(to_onnx(net)), x), computed(net, x), rtol=1e-5, atol=1e-5)


@settings(max_examples=40)
@given(net=chains())
def test_fp32_chains_of_any_shape_answer_like_torch(net):
    x = rows_for(net, 3)
    want = computed(net, x)
    got = predict(open_session(to_onnx(net)), x)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(want).max())))


@pytest.mark.parametrize("keep", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("name", SPECS)
def test_every_layer_with_weights_runs_in_an_integer_kernel(name, keep):
    net = thinned(built_in(name)[1], keep)
    run = optimised_operators(to_onnx(quantise(net, rows_for(net, 8))))
    kinds = Counter(type(layer) for layer in net.layers)
    assert run["QLinearConv"] == kinds[Conv]
    assert run["QGemm"] == kinds[Linear]
    assert not run.keys() & FLOAT_KERNELS
    assert run["DequantizeLinear"] == 0
    assert run["QuantizeLinear"] == (0 if net.tokens else 1)


@pytest.mark.parametrize("name", ["conv1d", "conv1d regression", "conv2d"])
def test_the_average_runs_in_an_integer_kernel(name):
    net = built_in(name)[1]
    run = optimised_operators(to_onnx(quantise(net, rows_for(net, 8))))
    assert run["QLinearGlobalAveragePool"] == 1
    assert run["Transpose"] == 0


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("name", SPECS)
def test_the_artefact_is_valid_onnx_for_one_sample_as_stored(name, quantised):
    net = built_in(name)[1]
    model = onnx.load_from_string(to_onnx(quantise(net, rows_for(net, 8)) if quantised else net))
    onnx.checker.check_model(model, full_check=True)
    (value,) = model.graph.input
    sizes = [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
    assert sizes == ["N", *SPECS[name].input_shape]
    assert value.type.tensor_type.elem_type == (onnx.TensorProto.INT64 if net.tokens else onnx.TensorProto.FLOAT)


def test_equal_nets_give_equal_bytes():
    assert to_onnx(built_in("conv1d")[1]) == to_onnx(built_in("conv1d")[1])


def test_int8_is_stored_in_a_byte_a_weight():
    net = built_in("next-token")[1]
    ratio = len(to_onnx(net)) / len(to_onnx(quantise(net, rows_for(net, 8))))
    assert ratio > 3.4


def test_a_net_whose_layers_do_not_fit_is_refused():
    head = QuantisedLinear("head", np.ones((2, 3), np.int8), np.ones(2, np.float32), np.ones(2, np.int32), None)
    with pytest.raises(PlanError, match=r"'head'.*expects u8"):
        to_onnx(QuantisedNet((3,), False, (head,)))


def test_a_net_without_layers_passes_its_input_on():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(predict(open_session(to_onnx(Net((3,), False, ()))), x), x)
