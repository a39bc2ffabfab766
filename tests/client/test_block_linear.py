import numpy as np
import pytest

from fedtailor.client import block_linear as module
from fedtailor.client.block_linear import with_block_linears
from fedtailor.client.export import to_onnx
from fedtailor.client.runtime import open_session, predict
from fedtailor.protos.net import Activation, Add, Linear, Net
from fedtailor.protos.quantised_net import BlockLinear, QuantisedNet


def linear(name, outputs, inputs):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(outputs, inputs)).astype(np.float32) / np.float32(inputs) ** 0.5
    return Linear(name, weight, np.ones(outputs, np.float32))


@pytest.fixture
def net():
    """Two large layers of which one is read twice, and a small one."""
    layers = (
        linear("large", 256, 256),
        Activation("act", "relu"),
        Add("add"),
        linear("next", 256, 256),
        linear("small", 5, 256),
    )
    return Net((256,), False, layers, ((0,), (1,), (1, 2), (3,), (4,)))


@pytest.fixture
def timed(monkeypatch):
    """What a layer takes in float32, in blocks of 32 and of 128; the number of layers measured."""
    calls = []

    def figures(*microseconds):
        monkeypatch.setattr(module, "alternating", lambda runs, seconds: calls.append(len(runs)) or microseconds)
        return calls

    return figures


def kinds(net):
    return [type(layer).__name__ for layer in net.layers]


@pytest.mark.parametrize(("microseconds", "block"), [((10.0, 4.0, 5.0), 32), ((10.0, 5.0, 4.0), 128)])
def test_large_linear_layers_become_blocks_of_the_faster_size(net, timed, microseconds, block):
    calls = timed(*microseconds)
    made = with_block_linears(net)
    assert isinstance(made, QuantisedNet)
    assert kinds(made) == ["BlockLinear", "Activation", "Add", "BlockLinear", "Linear"]
    assert {layer.block for layer in made.layers if isinstance(layer, BlockLinear)} == {block}
    assert made.wires == net.wires
    assert calls == [3, 3]


def test_a_gain_of_little_leaves_the_net_as_it_is(net, timed):
    timed(10.0, 9.8, 9.9)
    assert with_block_linears(net) is net


def test_the_answers_stay_near(net, timed):
    timed(10.0, 4.0, 5.0)
    x = np.random.default_rng(1).normal(size=(20, 256)).astype(np.float32)
    exact, rounded = (predict(open_session(to_onnx(of)), x) for of in (net, with_block_linears(net)))
    assert np.abs(rounded - exact).max() < 0.2 * np.abs(exact).max()


def test_what_is_measured_is_the_layer_alone_in_its_three_forms(net, monkeypatch):
    answers = []

    def alternating(runs, seconds):
        answers.append([run()[0] for run in runs])
        return 1.0, 1.0, 1.0

    monkeypatch.setattr(module, "alternating", alternating)
    with_block_linears(net)
    assert len(answers) == 2
    for in_float, *in_blocks in answers:
        assert in_float.shape == (1, 256)
        for rounded in in_blocks:
            assert 0 < np.abs(rounded - in_float).max() < 0.2 * np.abs(in_float).max()
