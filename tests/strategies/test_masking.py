"""Which coordinates are sent, what the codec sees of them, and what the merge gets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedtailor.protos.errors import PlanError
from fedtailor.protos.mask import KeptChannels, Mask
from fedtailor.protos.schema import Schema
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.masking import by_tensor, coordinates, gather, narrow, scatter

SCHEMA = Schema(("conv.weight", "conv.bias", "head.weight"), ((3, 2, 2), (3,), (4, 3)))
COUNT = np.arange(SCHEMA.size, dtype=np.int32)


def context() -> Context:
    return Context(SCHEMA, COUNT, COUNT * 10)


def tensors(flat) -> list:
    return [part.reshape(shape) for part, shape in zip(np.split(flat, [12, 15]), SCHEMA.shapes, strict=True)]


def mask(layer="conv", total=3, kept=(0, 2)) -> Mask:
    return Mask(layers=(KeptChannels(layer=layer, total=total, kept=kept),))


flags = hnp.arrays(np.bool_, SCHEMA.size).filter(np.any)


@given(kept=flags)
def test_the_codec_sees_each_kept_coordinate_once_with_its_own_context(kept):
    seen = narrow(context(), kept)
    assert seen.schema.size == kept.sum()
    assert seen.base.tolist() == COUNT[kept].tolist()
    assert seen.moved.tolist() == (COUNT[kept] * 10).tolist()
    values = gather(tensors(COUNT.astype(np.float32)), kept)
    assert tuple(value.shape for value in values) == seen.schema.shapes
    assert np.concatenate([value.ravel() for value in values]).tolist() == seen.base.tolist()


def test_a_tensor_that_is_kept_whole_keeps_its_shape():
    kept = np.arange(SCHEMA.size) >= 13  # all of head.weight, a part of conv.bias, nothing of conv.weight
    assert narrow(context(), kept).schema == Schema(("conv.bias", "head.weight"), ((2,), (4, 3)))


@given(kept=flags)
def test_layers_that_keep_nothing_are_not_seen(kept):
    names = [name for name, part in zip(SCHEMA.names, tensors(kept), strict=True) if part.any()]
    assert narrow(context(), kept).schema.names == tuple(names)


@given(kept=flags)
def test_what_comes_back_is_dense_and_zero_outside(kept):
    sent = tensors(COUNT.astype(np.float32) + 1)
    for was, came, part in zip(sent, scatter(gather(sent, kept), kept, SCHEMA), tensors(kept), strict=True):
        assert came.dtype == np.float32
        assert np.array_equal(came, was * part)


@given(kept=flags)
def test_the_merge_gets_a_mask_for_each_tensor_in_its_shape(kept):
    masks = by_tensor(kept, SCHEMA.shapes)
    assert [each.shape for each in masks] == list(SCHEMA.shapes)
    assert np.array_equal(np.concatenate([each.ravel() for each in masks]), kept)


def test_kept_output_channels_are_rows_of_every_tensor_of_their_layer():
    weight, bias, head = tensors(coordinates(mask(), SCHEMA))
    assert weight.all(axis=(1, 2)).tolist() == bias.tolist() == [True, False, True]
    assert not weight[1].any()
    assert head.all()


def test_kept_input_channels_are_columns_of_the_layer_that_reads_them():
    _, bias, head = tensors(coordinates(mask(), SCHEMA, inputs=mask("head", 3, (0, 2))))
    assert head.tolist() == [[True, False, True]] * 4
    assert bias.tolist() == [True, False, True]


def test_a_mask_that_names_no_layer_keeps_everything():
    assert coordinates(Mask(), SCHEMA).all()


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (mask(layer="body"), r"layer 'body' has no channels along axis 0 in this model, the mask counts 3"),
        (mask(total=4), r"layer 'conv' has \[3\] channels along axis 0 in this model, the mask counts 4"),
        (mask(kept=(0, 3)), r"layer 'conv' keeps a channel outside 0 to 2"),
        (mask(kept=(-1,)), r"layer 'conv' keeps a channel outside 0 to 2"),
    ],
)
def test_a_mask_of_another_model_is_refused(wrong, line):
    with pytest.raises(PlanError, match=line):
        coordinates(wrong, SCHEMA)


@given(size=st.integers(0, 40).filter(lambda size: size != SCHEMA.size))
def test_a_mask_of_another_size_is_refused(size):
    with pytest.raises(PlanError, match=rf"keeps {size} of {size} coordinates, expected at least 1 of {SCHEMA.size}"):
        narrow(context(), np.ones(size, np.bool_))


def test_a_mask_that_keeps_nothing_is_refused():
    with pytest.raises(PlanError, match="keeps 0 of 27 coordinates"):
        narrow(context(), np.zeros(SCHEMA.size, np.bool_))
