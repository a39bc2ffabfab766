"""After the last round: what a device keeps and what it tells."""

from dataclasses import replace

import pytest
from small_devices import device, instruction, plan

from fedtailor.client import bench
from fedtailor.client.offer import LADDER, offer_variants
from fedtailor.protos.errors import PlanError
from fedtailor.protos.variant import FALLBACK, Ladder
from fedtailor.protos.wire import from_bytes
from fedtailor.strategies.payload.payload import unpack

ORDER = instruction(plan(round_=4, base_version=3))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bench, "MEASURE_S", 0.01)


def kept(mine) -> Ladder:
    return from_bytes(Ladder, mine.store.get(LADDER) or b"", sender="test")


def test_the_ladder_told_is_the_ladder_kept_with_every_artefact(tmp_path):
    mine = device(tmp_path)
    reply = offer_variants(mine, ORDER)
    assert kept(mine) == reply.ladder
    assert [rung.recipe for rung in reply.ladder.rungs] == ["int8", "x8"]
    for rung in (reply.ladder.reference, *reply.ladder.rungs):
        payload = mine.store.get_artifact(rung.payload_sha256)
        assert len(payload) == rung.efficiency.payload_bytes
        unpack(payload)


def test_it_says_whose_it_is_and_from_which_base(tmp_path):
    ladder = offer_variants(device(tmp_path), ORDER).ladder
    assert (ladder.device_id, ladder.round, ladder.base_version) == ("till-1", 4, 3)
    assert ladder.base_hash == ORDER.base.base_hash
    assert ladder.reference.recipe == FALLBACK


def test_a_personal_model_is_at_least_as_good_on_validation_as_the_base(tmp_path):
    ladder = offer_variants(device(tmp_path, shift=1), ORDER).ladder
    assert ladder.personal_method == "finetune"
    assert ladder.personal_validation_score > ladder.base_validation_score


def test_a_later_ladder_replaces_the_one_before(tmp_path):
    mine = device(tmp_path)
    offer_variants(mine, ORDER)
    offer_variants(mine, instruction(plan(round_=9, base_version=8)))
    assert (kept(mine).round, kept(mine).base_version) == (9, 8)


def test_a_ladder_file_that_was_damaged_is_replaced(tmp_path):
    mine = device(tmp_path)
    offer_variants(mine, ORDER)
    (tmp_path / "values" / LADDER).write_bytes(b"half a lad")
    offer_variants(mine, ORDER)
    assert kept(mine).round == 4


@pytest.mark.parametrize("missing", ["train", "validation"])
def test_without_rows_to_tailor_with_there_is_only_the_reference_and_a_line(tmp_path, missing):
    reply = offer_variants(device(tmp_path, **{missing: 0}), ORDER)
    assert reply.ladder.rungs == ()
    assert reply.ladder.personal_method == "shared"
    (line,) = reply.problems
    assert line.startswith("device till-1: ")
    assert f"0 {missing}" in line


def test_a_device_without_test_rows_tailors_all_the_same(tmp_path):
    assert len(offer_variants(device(tmp_path, test=0), ORDER).ladder.rungs) == 2


def test_an_unknown_method_is_refused_and_nothing_is_kept(tmp_path):
    mine = device(tmp_path)
    asked = replace(ORDER, plan=replace(ORDER.plan, personal=replace(ORDER.plan.personal, method="magic")))
    with pytest.raises(PlanError, match="personal method 'magic' is not known here"):
        offer_variants(mine, asked)
    assert mine.store.get(LADDER) is None
