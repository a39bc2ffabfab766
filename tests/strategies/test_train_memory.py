from dataclasses import replace

import numpy as np
import pytest
import torch
from small_nets import SPECS, built_in, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Net
from fedtailor.protos.plan import Footprint
from fedtailor.strategies.train_memory import (
    footprint_within,
    held_bytes,
    parameter_count,
    step_bytes,
    tail_step_bytes,
)
from fedtailor.strategies.train_step import forward, in_layers

WAYS = [Footprint(), Footprint(precision="bf16"), Footprint(checkpoints=3), Footprint(micro_batch=8)]


@pytest.mark.parametrize("name", SPECS)
def test_torch_holds_what_is_modelled(name):
    module, net = built_in(name)
    own = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    held = {}

    def note(tensor):
        held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        _ = forward(in_layers(module), torch.from_numpy(rows_for(net, 32)), footprint=Footprint())
    measured = sum(tensor.untyped_storage().nbytes() for at, tensor in held.items() if at not in own)
    assert 32 * held_bytes(net, range(len(net.layers)), 4) == pytest.approx(measured, rel=0.01)


@pytest.mark.parametrize("name", SPECS)
def test_a_step_of_the_last_layers_takes_less_than_one_of_all_and_more_of_more(name):
    _, net = built_in(name)
    places = [at for at, layer in enumerate(net.layers) if parameter_count(Net(net.input_shape, net.tokens, (layer,)))]
    for footprint in WAYS:
        whole = step_bytes(net, 64, footprint, moments=1)
        takes = [tail_step_bytes(net, 64, footprint, first=first, moments=1) for first in places]
        assert takes == sorted(takes, reverse=True)
        assert takes[-1] < whole
    idle = 4 * (parameter_count(net) - parameter_count(Net(net.input_shape, net.tokens, net.layers[places[-1] :])))
    head = tail_step_bytes(net, 1, Footprint(), first=places[-1], moments=1)
    assert head > idle + 12 * parameter_count(Net(net.input_shape, net.tokens, net.layers[places[-1] :]))


def test_torch_holds_nothing_for_layers_that_are_frozen():
    module, net = built_in("conv2d")
    held = []
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name.startswith("head"))

    def note(tensor):
        held.append(tensor.untyped_storage().nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        _ = forward(in_layers(module), torch.from_numpy(rows_for(net, 32)), footprint=Footprint())
    assert sum(held) <= 4 * 32 * 64 + 4 * 64 * 10  # what the head reads, and its weights


def test_parameters_gradients_and_moments_are_counted():
    _, net = built_in("mlp")
    one, two = (step_bytes(net, 8, Footprint(), moments=moments) for moments in (1, 2))
    assert two - one == 4 * parameter_count(net)
    assert parameter_count(net) == sum(parameter.numel() for parameter in built_in("mlp")[0].parameters())
    assert one > 12 * parameter_count(net)


@pytest.mark.parametrize("name", SPECS)
def test_bfloat16_and_fewer_rows_at_once_save(name):
    _, net = built_in(name)
    plain, half, _, few = (step_bytes(net, 64, way, moments=1) for way in WAYS)
    assert max(half, few) < plain


def test_checkpoints_save_where_no_layer_outweighs_the_others():
    plain, _, cut, _ = (step_bytes(built_in("next-token")[1], 64, way, moments=1) for way in WAYS)
    assert cut < plain


def test_the_first_footprint_that_fits_is_taken():
    _, net = built_in("next-token")
    takes = {way: step_bytes(net, 64, way, moments=1) for way in WAYS}
    assert footprint_within(net, 64, takes[WAYS[0]], moments=1) == Footprint()
    assert footprint_within(net, 64, takes[WAYS[0]] - 1, moments=1) == Footprint(precision="bf16")
    cut = footprint_within(net, 64, takes[WAYS[1]] - 1, moments=1)
    assert (cut.precision, cut.micro_batch) == ("bf16", 0)
    assert cut.checkpoints > 1
    small = footprint_within(net, 64, takes[Footprint()] // 4, moments=1)
    assert 0 < small.micro_batch < 64


@pytest.mark.parametrize("share", np.linspace(0.35, 1, 8))
def test_what_is_taken_fits(share):
    _, net = built_in("conv2d")
    limit = int(share * step_bytes(net, 32, Footprint(), moments=1))
    assert step_bytes(net, 32, footprint_within(net, 32, limit, moments=1), moments=1) <= limit


def test_where_weights_weigh_most_no_second_copy_is_made_of_them():
    _, net = built_in("mlp")
    wide = replace(net, layers=tuple(map(_wider, net.layers)))
    limit = step_bytes(wide, 64, Footprint(micro_batch=1), moments=1)
    assert footprint_within(wide, 64, limit, moments=1).precision == "fp32"


def _wider(layer):
    if layer.name not in {"fc1", "fc2", "head"}:
        return layer
    outputs, inputs = layer.weight.shape
    outputs, inputs = (4 if layer.name == "head" else 900), (inputs if layer.name == "fc1" else 900)
    return replace(layer, weight=np.zeros((outputs, inputs), np.float32), bias=np.zeros(outputs, np.float32))


def test_where_nothing_fits_the_line_says_the_least():
    _, net = built_in("conv2d")
    with pytest.raises(PlanError, match=r"at least \d+ bytes, the budget allows train_ram_bytes 1000; ") as error:
        footprint_within(net, 32, 1000, moments=1)
    least = int(str(error.value).split("at least ")[1].split()[0])
    assert step_bytes(net, 32, footprint_within(net, 32, least, moments=1), moments=1) == least
