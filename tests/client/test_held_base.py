"""The public base that a device holds."""

from dataclasses import replace

import numpy as np
import pytest
from small_bases import FP32, commits
from small_devices import SPEC, plan

from fedtailor.client.held_base import BASE, BEFORE, held_from_bytes, held_to_bytes, receive_base
from fedtailor.client.store import DeviceStore
from fedtailor.protos.errors import DecodeError
from fedtailor.protos.messages import Instruction
from fedtailor.protos.schema import Schema
from fedtailor.strategies.models.model import initial_state

BASES = commits(6, FP32, start=initial_state(SPEC, seed=0))


def told(at: int, held: int | None) -> Instruction:
    """The instruction for base `at` to a device that is thought to hold base `held`."""
    asked = replace(plan(round_=at + 1, base_version=at), downlink=FP32)
    return Instruction(plan=asked, base=BASES[at].ring.broadcast(held), acknowledged_round=0)


def kept(store: DeviceStore) -> tuple[bytes | None, bytes | None]:
    return store.get(BASE), store.get(BEFORE)


@pytest.fixture
def store(tmp_path):
    return DeviceStore(tmp_path)


@pytest.mark.parametrize("way", [[0, 1, 2, 3, 4, 5, 6], [0, 3, 4, 6], [2, 6], [6]])
def test_whatever_rounds_a_device_takes_part_in_its_base_is_the_servers_bit_for_bit(store, way):
    held = None
    for at in way:
        base = receive_base(store, told(at, held))
        np.testing.assert_array_equal(base.steps, BASES[at].public.steps)
        np.testing.assert_array_equal(base.context.moved, BASES[at].public.context.moved)
        assert (base.hash, base.context_version) == (BASES[at].public.hash, BASES[at].public.context_version)
        held = at


def test_it_is_still_there_in_the_next_process(tmp_path):
    receive_base(DeviceStore(tmp_path), told(2, None))
    base = receive_base(DeviceStore(tmp_path), told(3, 2))
    assert base.hash == BASES[3].public.hash


def test_the_same_message_twice_changes_nothing(store):
    receive_base(store, told(2, None))
    first, before = receive_base(store, told(4, 2)), kept(store)
    again = receive_base(store, told(4, 2))
    assert (again.hash, kept(store)) == (first.hash, before)


def test_replies_that_were_lost_cost_nothing_the_base_before_is_still_held(store):
    receive_base(store, told(1, None))
    for at in (2, 4, 5):  # the server never hears of these
        assert receive_base(store, told(at, 1)).hash == BASES[at].public.hash
    assert receive_base(store, told(6, 5)).hash == BASES[6].public.hash


def test_a_base_that_is_not_held_is_refused_and_a_snapshot_mends_it(store):
    receive_base(store, told(3, None))
    before = kept(store)
    with pytest.raises(DecodeError, match="server, base 6: it starts from base 2, held here is base 3; resend it"):
        receive_base(store, told(6, 2))
    assert kept(store) == before
    assert receive_base(store, told(6, None)).hash == BASES[6].public.hash


def test_a_wiped_store_is_refused_and_a_snapshot_mends_it(store):
    with pytest.raises(DecodeError, match="it starts from base 5, held here is none"):
        receive_base(store, told(6, 5))
    assert receive_base(store, told(6, None)).hash == BASES[6].public.hash


def test_a_damaged_message_is_refused_and_what_is_held_stays(store):
    receive_base(store, told(3, None))
    before, order = kept(store), told(4, 3)
    hop = order.base.hops[0]
    damaged = replace(hop, payload=bytes([hop.payload[0] ^ 1]) + hop.payload[1:])
    with pytest.raises(DecodeError, match=r"server, base 4: .*this device needs a snapshot"):
        receive_base(store, replace(order, base=replace(order.base, hops=(damaged,))))
    assert kept(store) == before
    assert receive_base(store, order).hash == BASES[4].public.hash


@pytest.mark.parametrize("name", [BASE, BEFORE])
def test_a_damaged_file_costs_a_snapshot_at_most(store, tmp_path, name, caplog):
    receive_base(store, told(2, None))
    receive_base(store, told(3, 2))
    (tmp_path / "values" / name).write_bytes(b"half a ba")
    held = 3 if name == BEFORE else None
    assert receive_base(store, told(4, held)).hash == BASES[4].public.hash
    assert receive_base(store, told(5, 4)).hash == BASES[5].public.hash


def test_a_base_of_another_job_is_not_taken_for_this_one(store):
    other = commits(3, FP32, start=initial_state(SPEC, seed=9))
    receive_base(store, replace(told(3, None), base=other[3].ring.broadcast(None)))
    with pytest.raises(DecodeError, match="server, base 4: expected hash"):
        receive_base(store, told(4, 3))
    assert receive_base(store, told(3, None)).hash == BASES[3].public.hash


def test_a_plan_for_another_base_is_refused(store):
    order = told(3, None)
    with pytest.raises(DecodeError, match="server: the plan is for base 5, base 3 came with it"):
        receive_base(store, replace(order, plan=replace(order.plan, base_version=5)))


def test_what_is_kept_comes_back_with_its_marks():
    base = BASES[6].public
    back = held_from_bytes(held_to_bytes(base), base.schema)
    assert (back.version, back.hash, back.context_version) == (6, base.hash, base.context_version)
    np.testing.assert_array_equal(back.context.moved, base.context.moved)


@pytest.mark.parametrize("data", [b"", b"PK", held_to_bytes(BASES[6].public)[:-30]])
def test_bytes_that_are_no_base_are_one_exception_type(data):
    with pytest.raises(DecodeError, match="the base of this device cannot be read"):
        held_from_bytes(data, BASES[6].public.schema)


def test_a_base_of_another_model_is_not_taken():
    with pytest.raises(DecodeError, match="the base of this device is of schema"):
        held_from_bytes(held_to_bytes(BASES[6].public), Schema(("w",), ((3,),)))
