from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from small_nets import SPECS, built_in, graph, rows_for, thinned

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import REGRESSION
from fedtailor.protos.samples import Samples
from fedtailor.strategies.compression.allotment import Coding
from fedtailor.strategies.compression.distil import LABELS, distil
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.graph.shapes import layer_shapes


def answers(net, x):
    with torch.no_grad():
        return realise(net)(torch.from_numpy(x)).numpy()


def lesson(name, rows=96):
    """Teacher, pruned student, and samples labelled by the teacher."""
    _, teacher = built_in(name)
    x = rows_for(teacher, rows)
    outputs = answers(teacher, x)
    y = outputs[:, 0] if SPECS[name].kind == REGRESSION else outputs.argmax(-1)
    return teacher, thinned(teacher, 0.25), Samples(x, y)


def numbers(net):
    """All arrays of a net, one after another, as bytes."""
    names = ("weight", "bias", "scales", "table")
    return b"".join(
        getattr(layer, name).tobytes()
        for layer in net.layers
        for name in names
        if getattr(layer, name, None) is not None
    )


def coded(net, bits, names):
    """The net with the weights of the named layers rounded to integers on a bfloat16 scale per row."""
    return replace(
        net, layers=tuple(_coded(layer, Coding(bits)) if layer.name in names else layer for layer in net.layers)
    )


def _coded(layer, coding):
    flat = layer.weight.reshape(len(layer.weight), -1)
    scales = (
        torch.from_numpy(np.abs(flat).mean(1) * (2 / coding.top if coding.bits > 1 else 1)).bfloat16().float().numpy()
    )
    whole = (
        np.where(flat < 0, -1, 1)
        if coding.bits == 1
        else np.clip(np.rint(flat / scales[:, None]), -coding.top, coding.top)
    )
    weight = (whole * scales[:, None]).astype(np.float32).reshape(layer.weight.shape)
    return replace(layer, weight=weight, scales=scales)


def objective(name, net, teacher, data):
    """T² · KL to the teacher plus a part of the task's loss, written out; T is 2."""
    spec = SPECS[name]
    got, wanted = answers(net, data.x).astype(np.float64), answers(teacher, data.x).astype(np.float64)
    if spec.kind == REGRESSION:
        to_labels, to_teacher = got[:, 0] - data.y, got - wanted
        return float(LABELS * (to_labels**2).mean() + (to_teacher**2).mean()) / spec.target_scale**2
    log_q, log_p = log_softmax(got / 2, axis=-1), log_softmax(wanted / 2, axis=-1)
    picked = np.take_along_axis(log_softmax(got, axis=-1), data.y[..., None], -1)
    return float(4 * (np.exp(log_p) * (log_p - log_q)).sum(-1).mean() - LABELS * picked.mean())


@pytest.mark.parametrize("name", ["mlp", "conv1d", "conv1d regression", "next-token"])
def test_the_student_learns_from_teacher_and_labels(name):
    teacher, _, data = lesson(name)
    student = thinned(built_in(name, seed=1)[1], 0.25)  # knows nothing of this teacher
    taught = distil(student, teacher, data, spec=SPECS[name], steps=40, seed=0)
    assert objective(name, taught, teacher, data) < 0.97 * objective(name, student, teacher, data)
    assert layer_shapes(taught) == layer_shapes(student)


def test_equal_seeds_give_equal_bits_and_others_do_not():
    teacher, student, data = lesson("mlp")
    first, again, other = (
        numbers(distil(student, teacher, data, spec=SPECS["mlp"], steps=5, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_labels_count_beside_the_teacher():
    teacher, student, data = lesson("mlp")
    flipped = Samples(data.x, (data.y + 1) % 4)
    spec = SPECS["mlp"]
    right, wrong = (distil(student, teacher, labels, spec=spec, steps=40, seed=0) for labels in (data, flipped))
    accuracy = [float((answers(net, data.x).argmax(-1) == data.y).mean()) for net in (right, wrong)]
    assert accuracy[0] > accuracy[1]


def test_neither_network_is_changed():
    teacher, student, data = lesson("mlp")
    before = numbers(teacher), numbers(student)
    distil(student, teacher, data, spec=SPECS["mlp"], steps=5, seed=0)
    assert (numbers(teacher), numbers(student)) == before


def test_more_rows_than_the_steps_can_see_are_sampled():
    teacher, student, data = lesson("mlp", rows=400)
    taught = distil(student, teacher, data, spec=SPECS["mlp"], steps=2, seed=0)
    assert not np.array_equal(taught.layers[1].weight, student.layers[1].weight)


def test_without_rows_or_steps_the_student_is_left_alone():
    teacher, student, data = lesson("mlp")
    none = Samples(data.x[:0], data.y[:0])
    assert distil(student, teacher, none, spec=SPECS["mlp"], steps=5, seed=0) is student
    assert distil(student, teacher, data, spec=SPECS["mlp"], steps=0, seed=0) is student


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("name", ["mlp", "conv1d", "conv1d regression", "next-token"])
def test_a_coded_student_learns_and_stays_coded(name, bits):
    teacher, student, data = lesson(name)
    hidden = [layer.name for layer in student.layers if layer.name.startswith(("conv", "fc"))]
    start = coded(student, bits, hidden)
    coding = dict.fromkeys(hidden, Coding(bits))
    taught = distil(start, teacher, data, spec=SPECS[name], steps=60, seed=0, coding=coding)
    assert objective(name, taught, teacher, data) < 0.98 * objective(name, start, teacher, data)
    for layer in taught.layers:
        if layer.name in hidden:
            flat = layer.weight.reshape(len(layer.weight), -1)
            whole = np.rint(flat / layer.scales[:, None])
            np.testing.assert_array_equal((whole * layer.scales[:, None]).astype(np.float32), flat)
            assert np.abs(whole).max() <= Coding(bits).top
            assert bits > 1 or np.abs(whole).min() == 1
            assert not (layer.scales.view(np.uint32) & 0xFFFF).any()


def test_a_sparse_layer_keeps_its_zeros():
    teacher, student, data = lesson("mlp")
    start = coded(student, 2, ["fc2"])
    zeros = next(layer.weight == 0 for layer in start.layers if layer.name == "fc2")
    taught = distil(start, teacher, data, spec=SPECS["mlp"], steps=40, seed=0, coding={"fc2": Coding(2, density=0.9)})
    after = next(layer.weight for layer in taught.layers if layer.name == "fc2")
    assert zeros.any()
    assert not after[zeros].any()


def test_a_graph_is_distilled_as_a_chain_is():
    net = graph("mobile")
    x = rows_for(net, 40)
    spec = replace(SPECS["conv2d"], input_shape=net.input_shape, outputs=layer_shapes(net)[-1][0])
    teacher, data = graph("mobile", seed=1), Samples(x, answers(graph("mobile", seed=1), x).argmax(-1))
    taught = distil(net, teacher, data, spec=spec, steps=30, seed=0)
    before, after = (((answers(each, x) - answers(teacher, x)) ** 2).mean() for each in (net, taught))
    assert after < before
    assert taught.wires == net.wires


def test_a_step_keeps_to_its_memory():
    teacher, student, data = lesson("conv1d")
    free, tight = (
        distil(student, teacher, data, spec=SPECS["conv1d"], steps=10, seed=0, ram_bytes=limit)
        for limit in (None, 300_000)
    )
    assert numbers(tight) != numbers(free)
    before, plain, small = (objective("conv1d", net, teacher, data) for net in (student, free, tight))
    assert small < before
    assert small == pytest.approx(plain, rel=0.2)
    with pytest.raises(PlanError, match="train_ram_bytes 1000"):
        distil(student, teacher, data, spec=SPECS["conv1d"], steps=10, seed=0, ram_bytes=1000)


def test_a_student_that_is_close_takes_small_steps():
    teacher, far, data = lesson("mlp")
    close = replace(teacher, layers=tuple(_moved(layer) for layer in teacher.layers))
    moves = [
        np.abs(
            distil(student, teacher, data, spec=SPECS["mlp"], steps=1, seed=0).layers[1].bias - student.layers[1].bias
        )
        for student in (close, far)
    ]
    assert 0 < moves[0].max() < 0.3 * moves[1].max()


def _moved(layer):
    return replace(layer, bias=layer.bias + np.float32(0.01)) if hasattr(layer, "bias") else layer


def test_the_teacher_itself_has_nothing_to_learn():
    teacher, _, data = lesson("mlp")
    taught = distil(teacher, teacher, data, spec=SPECS["mlp"], steps=3, seed=0)
    for before, after in zip(teacher.layers, taught.layers, strict=True):
        if hasattr(before, "weight"):
            np.testing.assert_allclose(after.weight, before.weight, atol=1e-4)
