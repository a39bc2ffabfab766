import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers, sampled_from

from fedtailor.protos.net import Linear, Net
from fedtailor.protos.quantised_net import QuantisedNet
from fedtailor.strategies.compression.block_linear import to_block_linear
from fedtailor.strategies.graph.shapes import layer_shapes


def linear(outputs, inputs, seed=0, scales=None):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(outputs, inputs)).astype(np.float32)
    return Linear("linear", weight, rng.normal(size=outputs).astype(np.float32), scales)


def restored(layer):
    return layer.weight * layer.scales.repeat(layer.block, 1)[:, : layer.weight.shape[1]]


def plain(weight, block):
    """Rounded to nearest on the grid whose −8 is the value furthest from 0."""
    parts = np.pad(weight, ((0, 0), (0, -weight.shape[1] % block))).reshape(len(weight), -1, block)
    furthest = np.take_along_axis(parts, np.abs(parts).argmax(2)[..., None], 2)
    steps = np.where(furthest == 0, 1, furthest / -8)
    return (np.clip(np.rint(parts / steps), -8, 7) * steps).reshape(len(weight), -1)[:, : weight.shape[1]]


@given(seed=integers(0, 1000), outputs=integers(1, 5), inputs=integers(1, 70), block=sampled_from([16, 32, 64]))
def test_least_squares_is_never_further_off_than_rounding_to_nearest(seed, outputs, inputs, block):
    layer = linear(outputs, inputs, seed)
    made = to_block_linear(layer, block)
    layer_shapes(QuantisedNet((inputs,), False, (made,)))
    assert made.weight.min() >= -8
    assert made.weight.max() <= 7
    error = ((restored(made) - layer.weight) ** 2).sum()
    assert error <= ((plain(layer.weight, block) - layer.weight) ** 2).sum() * (1 + 1e-5) + 1e-12


@given(seed=integers(0, 1000), inputs=integers(1, 50), block=sampled_from([16, 32]))
def test_weights_coded_in_four_bits_are_taken_as_they_are(seed, inputs, block):
    rng = np.random.default_rng(seed)
    whole = rng.integers(-7, 8, (3, inputs))
    scales = np.array([0.25, 0.5, 2.0], np.float32)
    layer = Linear("linear", (whole * scales[:, None]).astype(np.float32), np.zeros(3, np.float32), scales)
    layer_shapes(Net((inputs,), False, (layer,)))
    made = to_block_linear(layer, block)
    assert np.array_equal(made.weight, whole)
    assert np.array_equal(restored(made), layer.weight)


def test_weights_coded_in_more_bits_are_rounded_anew():
    scales = np.full(2, 0.01, np.float32)
    layer = Linear("linear", np.array([[1.27, -0.4], [0.2, 0.9]], np.float32), np.zeros(2, np.float32), scales)
    np.testing.assert_allclose(restored(to_block_linear(layer, 16)), layer.weight, atol=0.1)


def test_weights_of_zero_stay_zero():
    layer = Linear("linear", np.zeros((2, 40), np.float32), np.ones(2, np.float32))
    made = to_block_linear(layer, 16)
    assert not restored(made).any()
    assert np.isfinite(made.scales).all()


@pytest.mark.parametrize("block", [0, 8, 24])
def test_a_block_that_no_kernel_takes_is_refused(block):
    with pytest.raises(ValueError, match=f"power of two, 16 or more, got {block}"):
        to_block_linear(linear(2, 32), block)
