import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers

from fedtailor.protos.net import Conv, Linear
from fedtailor.strategies.graph.windows import input_windows

small = integers(1, 3)


@given(kernel=small, stride=small, dilation=small, before=integers(0, 2), after=integers(0, 2))
def test_a_convolution_is_its_weights_over_its_windows(kernel, stride, dilation, before, after):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 3, kernel, 2)).astype(np.float32)
    conv = Conv("c", weight, np.zeros(4, np.float32), (stride, 1), ((before, after), (0, 1)), (dilation, 2), 1)
    x = torch.from_numpy(rng.normal(size=(2, 3, 8, 7)).astype(np.float32))
    padded = torch.nn.functional.pad(x, (0, 1, before, after))
    answers = torch.nn.functional.conv2d(padded, torch.from_numpy(weight), None, (stride, 1), 0, (dilation, 2))
    found = torch.einsum("npqikl,oikl->nopq", input_windows(conv, x), torch.from_numpy(weight))
    torch.testing.assert_close(found, answers)


@pytest.mark.parametrize("shape", [(5, 3), (5, 4, 3)])
def test_a_linear_layer_sees_its_inputs_as_they_are(shape):
    x = torch.zeros(shape)
    assert input_windows(Linear("l", np.zeros((2, 3), np.float32), np.zeros(2, np.float32)), x) is x
