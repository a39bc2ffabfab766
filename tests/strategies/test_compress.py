from dataclasses import replace

import numpy as np
import pytest
import torch
from small_nets import SPECS, built_in, rows_for

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import REGRESSION
from fedtailor.protos.net import Conv, Linear
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.strategies.answers import mean_loss
from fedtailor.strategies.compression import compress as compressing
from fedtailor.strategies.compression.allotment import Allotment, Coding
from fedtailor.strategies.compression.compress import CALIBRATION_ROWS, Cloth, compress, compress_student
from fedtailor.strategies.graph.groups import channel_groups
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.payload.payload import pack
from fedtailor.strategies.train_memory import parameter_count


def cloth(name="conv1d", train=96, validation=60, seed=3):
    """A personal net, and rows labelled by what it answers."""
    _, net = built_in(name)
    x = rows_for(net, train + validation)
    with torch.no_grad():
        outputs = realise(net)(torch.from_numpy(x)).numpy()
    y = outputs[:, 0] if SPECS[name].kind == REGRESSION else outputs.argmax(-1)
    parts = [Samples(x[rows], y[rows]) for rows in (slice(train), slice(train, None), slice(0))]
    return Cloth(net, DeviceData("d", SPECS[name].kind, SPECS[name].outputs, *parts), SPECS[name], seed)


def allotted(net, *, share=0.5, bits=3):
    """A share of every group of channels, and so many bits for every weight."""
    keep = {group.name: max(round(share * group.channels), 1) for group in channel_groups(net)}
    return Allotment(keep, {layer.name: Coding(bits) for layer in weighted(net)})


def weighted(net):
    return [layer for layer in net.layers if isinstance(layer, Conv | Linear)]


@pytest.mark.parametrize("name", SPECS)
def test_channels_and_codings_are_those_of_the_allotment(name):
    given = cloth(name)
    net, mask = compress(given, allotted(given.personal), steps=3)
    kept = {entry.layer: len(entry.kept) for entry in mask.layers}
    for layer, before in zip(weighted(net), weighted(given.personal), strict=True):
        assert len(layer.bias) == kept.get(layer.name, len(before.bias))
        assert layer.scales is not None
        integers = layer.weight.reshape(len(layer.weight), -1) / layer.scales[:, None]
        np.testing.assert_allclose(integers, np.rint(integers), atol=1e-4)
        assert np.abs(integers).max() <= 3 + 1e-4


def test_distillation_makes_a_hard_variant_better():
    given = cloth(train=200)
    allotment = allotted(given.personal, share=0.25, bits=2)
    before, after = (compress(given, allotment, steps)[0] for steps in (0, 60))
    losses = [mean_loss(realise(net), given.data.validation, given.spec) for net in (before, after)]
    assert losses[1] < 0.9 * losses[0]


def ruined(student):
    layers = (
        replace(layer, bias=layer.bias + 100 * np.arange(len(layer.bias), dtype=np.float32))
        if isinstance(layer, Linear)
        else layer
        for layer in student.layers
    )
    return replace(student, layers=tuple(layers))


def unfinite(student):
    layers = (
        replace(layer, bias=layer.bias * np.nan) if isinstance(layer, Linear) else layer for layer in student.layers
    )
    return replace(student, layers=tuple(layers))


def test_a_student_is_small_coded_and_learns_from_the_personal_model():
    given = cloth(train=200)
    before, after = (compress_student(given, 0.2, steps) for steps in (0, 60))
    for net, mask in (before, after):
        assert parameter_count(net) <= 0.2 * parameter_count(given.personal) + sum(len(e.scales) for e in weighted(net))
        assert {entry.layer for entry in mask.layers}
        for layer in weighted(net):
            assert np.abs(layer.weight.reshape(len(layer.weight), -1) / layer.scales[:, None]).max() < 32
    losses = [mean_loss(realise(net), given.data.validation, given.spec) for net, _ in (before, after)]
    assert losses[1] < 0.9 * losses[0]


@pytest.mark.parametrize("spoil", [ruined, unfinite])
def test_what_distillation_spoils_is_not_kept(monkeypatch, spoil):
    given = cloth()
    allotment = allotted(given.personal)
    before = compress(given, allotment, steps=0)[0]
    monkeypatch.setattr(compressing, "distil", lambda student, *_, **__: spoil(student))
    assert pack(compress(given, allotment, steps=5)[0]) == pack(before)


def test_what_is_kept_is_decided_on_the_validation_split(monkeypatch):
    given = cloth()
    judged = []
    monkeypatch.setattr(
        compressing, "mean_loss", lambda module, rows, spec: judged.append(rows) or mean_loss(module, rows, spec)
    )
    compress(given, allotted(given.personal), steps=2)
    assert len(judged) == 4
    assert all(rows is given.data.validation for rows in judged)


def test_without_steps_nothing_is_distilled_and_validation_rows_are_not_read(monkeypatch):
    given = cloth()
    monkeypatch.setattr(compressing, "distil", lambda *_, **__: pytest.fail("distilled"))
    unread = replace(given.data, validation=given.data.test)
    bare = Cloth(given.personal, unread, given.spec, given.seed)
    allotment = allotted(given.personal)
    assert pack(compress(bare, allotment, steps=0)[0]) == pack(compress(given, allotment, steps=0)[0])


def test_where_no_channel_goes_there_is_nothing_to_distil_before_coding(monkeypatch):
    given = cloth()
    codings = []
    monkeypatch.setattr(compressing, "distil", lambda student, *_, coding, **__: codings.append(coding) or student)
    allotment = allotted(given.personal, share=1.0)
    _, mask = compress(given, allotment, steps=2)
    assert mask.layers == ()
    assert codings == [allotment.coding]


def test_equal_seeds_give_equal_bits_and_others_do_not():
    first, again, other = (
        pack(compress(cloth(seed=seed), allotted(cloth().personal, share=0.3), steps=10)[0]) for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_the_test_split_is_never_read():
    given = cloth()
    poison = Samples(np.full((5, 40, 6), np.nan, np.float32), np.zeros(5, np.int64))
    poisoned = Cloth(given.personal, replace(given.data, test=poison), given.spec, given.seed)
    allotment = allotted(given.personal)
    assert pack(compress(poisoned, allotment, steps=3)[0]) == pack(compress(given, allotment, steps=3)[0])


def test_calibration_takes_so_many_train_rows_from_first_to_last():
    given = cloth("mlp", train=2 * CALIBRATION_ROWS)
    assert len(given.calibration) == CALIBRATION_ROWS
    np.testing.assert_array_equal(given.calibration[[0, -1]], given.data.train.x[[0, -1]])


def test_a_training_step_keeps_within_its_memory_or_says_that_it_cannot():
    given = cloth()
    allotment = allotted(given.personal)
    tight = replace(given, ram_bytes=400_000)
    assert compress(tight, allotment, steps=2)[1] == compress(given, allotment, steps=2)[1]
    with pytest.raises(PlanError, match="bytes"):
        compress(replace(given, ram_bytes=1000), allotment, steps=2)
