import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from small_nets import SPECS, built_in, rows_for

from fedtailor.protos.model_spec import REGRESSION
from fedtailor.protos.samples import Samples
from fedtailor.strategies.distil import distil
from fedtailor.strategies.payload import pack
from fedtailor.strategies.prune import prune
from fedtailor.strategies.realise import realise
from fedtailor.strategies.shapes import layer_shapes


def answers(net, x):
    with torch.no_grad():
        return realise(net)(torch.from_numpy(x)).numpy()


def lesson(name, rows=96):
    """Teacher, pruned student, and samples labelled by the teacher."""
    _, teacher = built_in(name)
    x = rows_for(teacher, rows)
    outputs = answers(teacher, x)
    y = outputs[:, 0] if SPECS[name].kind == REGRESSION else outputs.argmax(-1)
    return teacher, prune(teacher, x, 0.25)[0], Samples(x, y)


def objective(name, net, teacher, data):
    """T² · KL to the teacher plus the task's loss, written out; T is 2."""
    spec = SPECS[name]
    got, wanted = answers(net, data.x).astype(np.float64), answers(teacher, data.x).astype(np.float64)
    if spec.kind == REGRESSION:
        to_labels, to_teacher = got[:, 0] - data.y, got - wanted
        return float((to_labels**2).mean() + (to_teacher**2).mean()) / spec.target_scale**2
    log_q, log_p = log_softmax(got / 2, axis=-1), log_softmax(wanted / 2, axis=-1)
    picked = np.take_along_axis(log_softmax(got, axis=-1), data.y[..., None], -1)
    return float(4 * (np.exp(log_p) * (log_p - log_q)).sum(-1).mean() - picked.mean())


@pytest.mark.parametrize("name", ["mlp", "conv1d", "conv1d regression", "next-token"])
def test_the_student_learns_from_teacher_and_labels(name):
    teacher, _, data = lesson(name)
    student, _ = prune(built_in(name, seed=1)[1], data.x, 0.25)  # knows nothing of this teacher
    taught = distil(student, teacher, data, spec=SPECS[name], steps=40, seed=0)
    assert objective(name, taught, teacher, data) < 0.9 * objective(name, student, teacher, data)
    assert layer_shapes(taught) == layer_shapes(student)


def test_equal_seeds_give_equal_bits_and_others_do_not():
    teacher, student, data = lesson("mlp")
    first, again, other = (
        pack(distil(student, teacher, data, spec=SPECS["mlp"], steps=5, seed=seed)) for seed in (1, 1, 2)
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
    before = pack(teacher), pack(student)
    distil(student, teacher, data, spec=SPECS["mlp"], steps=5, seed=0)
    assert (pack(teacher), pack(student)) == before


def test_more_rows_than_the_steps_can_see_are_sampled():
    teacher, student, data = lesson("mlp", rows=400)
    taught = distil(student, teacher, data, spec=SPECS["mlp"], steps=2, seed=0)
    assert not np.array_equal(taught.layers[1].weight, student.layers[1].weight)


def test_without_rows_or_steps_the_student_is_left_alone():
    teacher, student, data = lesson("mlp")
    none = Samples(data.x[:0], data.y[:0])
    assert distil(student, teacher, none, spec=SPECS["mlp"], steps=5, seed=0) is student
    assert distil(student, teacher, data, spec=SPECS["mlp"], steps=0, seed=0) is student
