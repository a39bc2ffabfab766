import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from small_nets import GRAPHS, SPECS, built_in, chains, graph, graphs, rows_for, thinned

from fedtailor.client.export import to_onnx
from fedtailor.client.runtime import open_session, optimised_operators, predict
from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Activation, Add, Attention, ChannelsFirst, Concat, Conv, MaxPool, Net
from fedtailor.protos.quantised_net import QuantisedLinear, QuantisedNet
from fedtailor.strategies.graph.compute import FUNCTIONS
from fedtailor.strategies.graph.realise import realise

RNG = np.random.default_rng(0)


def small(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def computed(net, x):
    with torch.no_grad():
        return realise(net)(torch.from_numpy(x)).numpy()


def assert_like_torch(net, rows=3):
    x = rows_for(net, rows)
    want = computed(net, x)
    got = predict(open_session(to_onnx(net)), x)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(want).max())))


def conv(name, channels, kernel=(3,)):
    padding = tuple((size // 2, size // 2) for size in kernel)
    one = (1,) * len(kernel)
    return Conv(name, small(channels, channels, *kernel), small(channels), one, padding, one, 1)


@pytest.mark.parametrize("keep", [1.0, 0.5])
@pytest.mark.parametrize("name", SPECS)
def test_the_fp32_artefact_answers_like_torch(name, keep):
    net = thinned(built_in(name)[1], keep)
    x = rows_for(net, 7)
    np.testing.assert_allclose(predict(open_session(to_onnx(net)), x), computed(net, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_fp32_artefact_of_a_traced_graph_answers_like_torch(name):
    assert_like_torch(graph(name), rows=7)


@settings(max_examples=40)
@given(net=chains())
def test_fp32_chains_of_any_shape_answer_like_torch(net):
    assert_like_torch(net)


@settings(max_examples=40)
@given(net=graphs())
def test_fp32_graphs_of_any_shape_answer_like_torch(net):
    assert_like_torch(net)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_activation_answers_like_torch(function):
    assert_like_torch(Net((500,), False, (Activation("act", function),)))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_one_operator_that_answers_like_torch(causal):
    net = Net((9, 12), False, (Attention("attention", 3, causal),), ((0, 0, 0),))
    assert_like_torch(net)
    assert optimised_operators(to_onnx(net)) == {"Attention": 1}


def test_a_series_that_is_read_lifted_and_as_it_is_answers_like_torch():
    layers = (ChannelsFirst("first"), conv("one", 4), Concat("time", 1), Concat("channels", 0), Add("add"))
    net = Net((10, 4), False, layers, ((0,), (1,), (1, 2), (2, 1), (4, 4)))
    assert_like_torch(net)
    assert_like_torch(Net(net.input_shape, False, layers[:3], net.wires[:3]))


@pytest.mark.parametrize("sizes", [(11,), (8, 9)])
def test_a_padded_pool_answers_like_torch(sizes):
    rank = len(sizes)
    padding = ((1, 0),) + ((1, 1),) * (rank - 1)
    pool = MaxPool("pool", (3,) * rank, (2,) * rank, padding)
    assert_like_torch(Net((*sizes, 4), False, (ChannelsFirst("first"), conv("conv", 4, (3,) * rank), pool)))


def test_a_convolution_of_series_runs_in_the_blocked_kernel_with_its_activation():
    net = Net((10, 16), False, (ChannelsFirst("first"), conv("conv", 16), Activation("act", "relu"), conv("next", 16)))
    run = optimised_operators(to_onnx(net))
    assert run["Conv"] == 2
    assert run["ReorderInput"] == 1
    assert not run.keys() & {"Relu", "FusedConv"}


@pytest.mark.parametrize("name", SPECS)
def test_the_artefact_is_valid_onnx_for_one_sample_as_stored(name):
    net = built_in(name)[1]
    model = onnx.load_from_string(to_onnx(net))
    onnx.checker.check_model(model, full_check=True)
    (value,) = model.graph.input
    sizes = [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
    assert sizes == ["N", *SPECS[name].input_shape]
    assert value.type.tensor_type.elem_type == (onnx.TensorProto.INT64 if net.tokens else onnx.TensorProto.FLOAT)


def test_equal_nets_give_equal_bytes():
    assert to_onnx(built_in("conv1d")[1]) == to_onnx(built_in("conv1d")[1])


def test_a_net_whose_layers_do_not_fit_is_refused():
    head = QuantisedLinear("head", np.ones((2, 3), np.int8), np.ones(2, np.float32), np.ones(2, np.int32), None)
    with pytest.raises(PlanError, match=r"'head'.*expects u8"):
        to_onnx(QuantisedNet((3,), False, (head,)))
