"""How much of a model a device trains, by what its memory takes."""

import re
from dataclasses import replace
from functools import cache

import pytest
from small_exits import EXITED, SMALL

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import NEXT_TOKEN
from fedtailor.protos.plan import Footprint, Submodel
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.model import build
from fedtailor.strategies.submodel.choose import (
    SHARES,
    exits_needed,
    fitting,
    head_within,
    part_of,
    rolled,
    trains,
)
from fedtailor.strategies.train_memory import footprint_within, step_bytes

SPEC = EXITED["conv2d"]
BARE = replace(SPEC, exits=())
ROWS = 16
PLENTY = 10**9


@cache
def net_of(spec, submodel):
    part = part_of(spec, submodel)
    return trace(build(spec), spec) if part is None else part.layout


@cache
def least(spec, submodel=None):
    """The least memory in which a step can be made to fit."""
    with pytest.raises(PlanError) as error:
        footprint_within(net_of(spec, submodel), ROWS, 1, moments=1)
    return int(re.search(r"at least (\d+) bytes", str(error.value))[1])


def at(exit_):
    return Submodel(kind="depth", exit=exit_)


def test_with_memory_enough_the_whole_model_is_trained_as_before():
    net = trace(build(BARE), BARE)
    for limit in (PLENTY, 2 * 10**6, 10**6):
        assert fitting(BARE, ROWS, limit, "depth") == (footprint_within(net, ROWS, limit, moments=1), None)
    assert part_of(BARE, None) is None


@pytest.mark.parametrize("kind", ["depth", "width", "leave-out"])
@pytest.mark.parametrize("limit", [2_000, 20_000, 200_000, 400_000, 800_000, 2_000_000])
def test_what_is_chosen_fits_and_what_is_larger_does_not(kind, limit):
    spec = SPEC if kind == "depth" else BARE
    footprint, submodel = fitting(spec, ROWS, limit, kind)
    menu = [None, *map(at, reversed(spec.exits)), *(Submodel(kind="width", share=share) for share in SHARES)]
    menu = [each for each in menu if each is None or each.kind == kind]
    if submodel is not None and submodel.kind == "leave-out":
        assert all(least(spec, each) > limit for each in menu)
        return
    assert step_bytes(net_of(spec, submodel), ROWS, footprint, moments=1) <= limit
    assert all(least(spec, larger) > limit for larger in menu[: menu.index(submodel)])


def test_the_memory_of_exits_counts():
    assert least(SPEC) > least(BARE)
    assert fitting(BARE, ROWS, least(BARE), "depth")[1] is None
    assert fitting(SPEC, ROWS, least(BARE), "depth")[1] == at("pool2")


@pytest.mark.parametrize(
    ("kind", "spec", "why"),
    [
        ("depth", SPEC, "; its smallest submodel by depth: a training step of this model takes at least"),
        ("depth", BARE, "; model 'conv2d' has no exit to stop at"),
        ("width", BARE, "; its smallest submodel by width: a training step of this model takes at least"),
        ("leave-out", BARE, "raise it, or choose a smaller model"),
    ],
)
def test_a_device_that_nothing_fits_is_left_out_and_told_why_in_one_line(kind, spec, why):
    _, submodel = fitting(spec, ROWS, 900, kind)
    assert submodel.kind == "leave-out"
    assert not trains(submodel)
    assert submodel.note.startswith("left out of training: a training step of this model takes at least ")
    assert "train_ram_bytes 900" in submodel.note
    assert why in submodel.note
    assert "\n" not in submodel.note
    with pytest.raises(PlanError, match="'leave-out' trains nothing"):
        part_of(spec, submodel)


def test_where_nothing_is_said_of_weak_devices_the_error_is_raised():
    with pytest.raises(PlanError, match="takes at least"):
        fitting(BARE, ROWS, 900, None)


def test_a_fleet_has_the_exits_that_its_devices_need_and_no_others():
    deep, shallow = (least(replace(SPEC, exits=(name,)), at(name)) for name in ("pool2", "pool1"))
    whole, deep, shallow, nothing = ((ROWS, limit) for limit in (least(BARE), deep, shallow, shallow - 1))
    assert exits_needed(BARE, []) == exits_needed(BARE, [whole, nothing]) == ()
    assert exits_needed(BARE, [whole, deep, deep]) == ("pool2",)
    assert exits_needed(BARE, [shallow, nothing, deep, whole]) == ("pool1", "pool2")


@pytest.mark.parametrize("name", SMALL)
def test_the_head_of_every_model_can_be_trained_where_the_model_cannot(name):
    spec = SMALL[name]
    limit = least(spec) - 1
    assert fitting(spec, ROWS, limit, "leave-out")[1] is not None
    assert head_within(spec, ROWS, limit, Footprint()) is not None
    assert head_within(spec, ROWS, 900, Footprint()) is None


def test_the_head_is_trained_row_by_row_where_a_batch_is_too_much():
    rows, row = (head_within(SPEC, ROWS, limit, Footprint()) for limit in (PLENTY, 330_000))
    assert (rows, row) == (Footprint(), Footprint(micro_batch=1))


def test_a_window_of_channels_moves_on_and_an_exit_stays():
    assert rolled(Submodel(kind="width", share=0.5), 7) == Submodel(kind="width", share=0.5, offset=7)
    assert rolled(at("pool1"), 7) == at("pool1")
    assert rolled(None, 7) is None


def test_next_token_models_count_too():
    spec = SMALL["next-token"]
    assert spec.kind == NEXT_TOKEN
    assert fitting(spec, ROWS, least(spec) - 1, "depth")[1] == at("relu3")
