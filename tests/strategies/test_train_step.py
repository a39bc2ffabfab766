import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_nets import GRAPHS, SPECS, built_in, graph, graphs, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.protos.plan import Footprint
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.train_step import Layered, backward, crossing, forward, in_layers, runs


def layered(net):
    module = realise(net)
    return Layered(module, list(module.parts), net.wires)


def gradients(each, x, footprint):
    each.module.zero_grad()
    loss = backward(lambda part: forward(each, x[part], footprint=footprint).square().mean(), len(x), footprint)
    return loss, [parameter.grad.clone() for parameter in each.module.parameters()]


def same(first, second, tolerance):
    assert first[0] == pytest.approx(second[0], rel=tolerance)
    for one, other in zip(first[1], second[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * float(one.abs().max()) + 1e-12)


@pytest.mark.parametrize("checkpoints", [2, 3, 5, 100])
@pytest.mark.parametrize("name", [*SPECS, *GRAPHS])
def test_recomputed_activations_give_the_gradients_of_held_ones(name, checkpoints):
    net = built_in(name)[1] if name in SPECS else graph(name)
    x = torch.from_numpy(rows_for(net, 6))
    each = layered(net)
    plain, again = (gradients(each, x, Footprint(checkpoints=number)) for number in (0, checkpoints))
    same(plain, again, 1e-6)


@settings(max_examples=25, deadline=None)
@given(net=graphs(), checkpoints=st.integers(2, 9), micro_batch=st.integers(1, 7))
def test_any_graph_may_be_cut_and_any_batch_summed_up(net, checkpoints, micro_batch):
    x = torch.from_numpy(rows_for(net, 5))
    each = layered(net)
    plain, small = (
        gradients(each, x, way) for way in (Footprint(), Footprint(checkpoints=checkpoints, micro_batch=micro_batch))
    )
    same(plain, small, 1e-3)


def test_checkpoints_hold_less():
    module, net = built_in("conv1d")
    x = torch.from_numpy(rows_for(net, 8))
    held = []
    for checkpoints in (0, 4):
        seen = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, seen=seen: seen.setdefault(t.untyped_storage().data_ptr(), t), lambda t: t
        ):
            forward(in_layers(module), x, footprint=Footprint(checkpoints=checkpoints))
        held.append(sum(t.untyped_storage().nbytes() for t in seen.values()))
    assert held[1] < 0.7 * held[0]


def test_bfloat16_holds_half_and_answers_in_float32():
    module, net = built_in("conv2d")
    x = torch.from_numpy(rows_for(net, 8))
    exact, rough = (forward(in_layers(module), x, footprint=Footprint(precision=each)) for each in ("fp32", "bf16"))
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    torch.testing.assert_close(exact, rough, rtol=0.05, atol=0.05)


def test_a_module_that_is_no_sequence_is_one_layer():
    module = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2)})
    assert len(in_layers(module).parts) == 1


def test_an_unknown_precision_lists_those_there_are():
    module, net = built_in("mlp")
    with pytest.raises(PlanError, match="fp32 or bf16, got 'fp8'"):
        forward(in_layers(module), torch.from_numpy(rows_for(net, 2)), footprint=Footprint(precision="fp8"))


@given(layers=st.integers(1, 40), checkpoints=st.integers(1, 60))
def test_runs_cover_every_layer_once(layers, checkpoints):
    found = runs(layers, checkpoints)
    assert [place for places in found for place in places] == list(range(layers))
    assert len(found) == min(layers, checkpoints)


def test_what_crosses_a_place_is_what_is_read_later():
    wires = ((0,), (1,), (2, 1), (3,))
    assert [crossing(wires, place) for place in range(5)] == [(0,), (1,), (1, 2), (3,), (4,)]
