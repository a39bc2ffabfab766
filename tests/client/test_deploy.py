"""What a device runs once the fleet has spoken, whatever became of its disk meanwhile."""

from dataclasses import replace

import pytest
from small_devices import device, instruction, plan

from fedtailor.client import bench
from fedtailor.client.deploy import VARIANT, deploy
from fedtailor.client.offer import LADDER, offer_variants
from fedtailor.client.ready import ready_model
from fedtailor.client.runtime import open_session, predict
from fedtailor.protos.errors import StoreError
from fedtailor.protos.variant import FALLBACK, Rung, Variant
from fedtailor.protos.verdict import PROVEN
from fedtailor.protos.wire import from_bytes, to_bytes

ORDER = instruction(plan(round_=4, base_version=3))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bench, "MEASURE_S", 0.01)


@pytest.fixture
def tailored(tmp_path):
    """A device and its ladder, on which both rungs may run and x8 is the smaller one, whatever this machine's
    speed."""
    mine = device(tmp_path)
    ladder = offer_variants(mine, ORDER).ladder
    ladder = replace(ladder, rungs=tuple(_fit(rung) for rung in ladder.rungs))
    mine.store.put(LADDER, to_bytes(ladder))
    return mine, ladder


def _fit(rung: Rung) -> Rung:
    return replace(rung, latency_ratio=2.0, unmet=(), verdict=replace(rung.verdict, verdict=PROVEN))


def deployed(mine) -> Variant:
    return from_bytes(Variant, mine.store.get(VARIANT) or b"", sender="test")


def damage(mine, rung: Rung) -> None:
    path = mine.store.folder / "artifacts" / rung.payload_sha256
    path.write_bytes(path.read_bytes()[:-1] + b"?!")


def test_the_smallest_rung_is_deployed_kept_and_scored(tailored):
    mine, ladder = tailored
    reply = deploy(mine, ORDER)
    assert reply.variant.rung == ladder.rungs[1]
    assert reply.variant == deployed(mine)
    assert reply.payload == mine.store.get_artifact(ladder.rungs[1].payload_sha256)
    assert mine.store.get_artifact(reply.variant.artifact_sha256)
    assert (reply.scores.metric, reply.scores.rows) == ("accuracy", 60)
    assert reply.scores.personal > reply.scores.base
    assert reply.variant.reason == "the smallest of 2 that may run and meet the budget"


def test_what_is_deployed_lies_ready_for_the_runtime(tailored, monkeypatch):
    mine, _ = tailored
    sha = deploy(mine, ORDER).variant.artifact_sha256
    monkeypatch.setattr("fedtailor.client.ready.optimised", lambda _: pytest.fail("made again"))
    assert len(predict(open_session(ready_model(mine.store, sha)), mine.data.test.x)) == 60


def test_a_withdrawn_recipe_gives_way_to_the_next(tailored):
    mine, ladder = tailored
    reply = deploy(mine, replace(ORDER, withdrawn=("x8",)))
    assert reply.variant.rung == ladder.rungs[0]


def test_all_recipes_withdrawn_leave_the_personal_model_in_fp32(tailored):
    mine, ladder = tailored
    reply = deploy(mine, replace(ORDER, withdrawn=("x8", "int8")))
    assert reply.variant.rung == ladder.reference
    assert reply.variant.reason.startswith("the fp32 reference: int8 is withdrawn by the fleet; x8")
    assert reply.scores.variant == reply.scores.personal


def test_a_damaged_artefact_gives_way_to_the_next_and_the_reason_says_so(tailored, caplog):
    mine, ladder = tailored
    damage(mine, ladder.rungs[1])
    variant = deploy(mine, ORDER).variant
    assert variant.rung == ladder.rungs[0]
    assert variant.reason == "the smallest of 1 that may run and meet the budget; x8 is damaged on this device"
    (line,) = caplog.messages
    assert line.startswith("recipe x8: store file ")


def test_a_damaged_artefact_that_may_not_run_anyway_is_not_what_the_reason_is_about(tailored):
    mine, ladder = tailored
    damage(mine, ladder.rungs[1])
    variant = deploy(mine, replace(ORDER, withdrawn=("x8",))).variant
    assert variant.reason == "the smallest of 1 that may run and meet the budget"


def test_with_every_rung_damaged_or_gone_the_personal_model_is_left(tailored):
    mine, ladder = tailored
    damage(mine, ladder.rungs[0])
    (mine.store.folder / "artifacts" / ladder.rungs[1].payload_sha256).unlink()
    variant = deploy(mine, ORDER).variant
    assert variant.rung == ladder.reference
    assert variant.reason == ("the fp32 reference: int8 is damaged on this device; x8 is damaged on this device")


def base_alone(mine, reason: str) -> None:
    """Deploying ends in the measured fp32 base, for this reason."""
    reply = deploy(mine, ORDER)
    assert (reply.variant.rung.recipe, reply.variant.personal_method) == (FALLBACK, "shared")
    assert reply.variant.reason.startswith(reason)
    assert reply.variant.base_hash == ORDER.base.base_hash
    assert reply.variant.rung.efficiency.latency_p50_us_measured > 0
    assert reply.scores.base == reply.scores.personal == reply.scores.variant
    assert deployed(mine) == reply.variant


def test_a_damaged_personal_model_leaves_the_base(tailored):
    mine, ladder = tailored
    damage(mine, ladder.reference)
    base_alone(mine, "the fp32 base: the personal model kept here is damaged")


def test_without_a_ladder_the_base_runs(tmp_path):
    base_alone(device(tmp_path), "the fp32 base: this device made no ladder")


def test_a_ladder_of_another_base_is_not_climbed(tmp_path):
    mine = device(tmp_path)
    ladder = offer_variants(mine, ORDER).ladder
    mine.store.put(LADDER, to_bytes(replace(ladder, base_version=2, base_hash="00" * 32)))
    base_alone(mine, "the fp32 base: the ladder kept here is of base 2")


@pytest.mark.parametrize("content", [b"", b"half a ladder"])
def test_a_damaged_ladder_leaves_the_base(tailored, content):
    mine, _ = tailored
    (mine.store.folder / "values" / LADDER).write_bytes(content)
    base_alone(mine, "the fp32 base: the ladder kept here cannot be read (store file ")


def test_a_ladder_of_another_version_leaves_the_base(tailored):
    mine, _ = tailored
    mine.store.put(LADDER, b"\xff\xff\xff")
    base_alone(mine, "the fp32 base: the ladder kept here cannot be read (own store: 3 bytes are not a Ladder")


@pytest.mark.parametrize("missing", ["train", "validation"])
def test_a_device_without_rows_to_tailor_with_runs_what_it_has(tmp_path, missing):
    mine = device(tmp_path, **{missing: 0})
    offer_variants(mine, ORDER)
    reply = deploy(mine, ORDER)
    assert reply.variant.rung.recipe == FALLBACK
    assert reply.variant.reason == "the fp32 reference: no recipe gave a variant"
    assert reply.scores.rows == 60


def test_a_device_that_only_tests_runs_the_base(tmp_path):
    base_alone(device(tmp_path, train=0, validation=0), "the fp32 base: this device made no ladder")


def test_a_device_without_test_rows_deploys_and_counts_none(tmp_path):
    mine = device(tmp_path, test=0)
    offer_variants(mine, ORDER)
    reply = deploy(mine, ORDER)
    assert (reply.scores.rows, reply.scores.variant) == (0, 0.0)
    assert deployed(mine) == reply.variant


def test_a_variant_names_the_one_it_replaced(tailored):
    mine, _ = tailored
    first = deploy(mine, ORDER).variant
    second = deploy(mine, replace(ORDER, withdrawn=("x8",))).variant
    third = deploy(mine, replace(ORDER, withdrawn=("x8", "int8"))).variant
    assert (first.parent, second.parent, third.parent) == (None, first.artifact_sha256, second.artifact_sha256)


def test_asked_twice_it_deploys_the_same_and_is_not_its_own_parent(tailored):
    mine, _ = tailored
    first = deploy(mine, ORDER)
    second = deploy(mine, replace(ORDER, withdrawn=("x8",)))
    assert deploy(mine, replace(ORDER, withdrawn=("x8",))) == second
    assert second.variant.parent == first.variant.artifact_sha256


def test_a_damaged_variant_file_costs_the_parent_and_no_more(tailored):
    mine, _ = tailored
    deploy(mine, ORDER)
    (mine.store.folder / "values" / VARIANT).write_bytes(b"FTDS")
    variant = deploy(mine, replace(ORDER, withdrawn=("x8",))).variant
    assert variant.parent is None
    assert deployed(mine) == variant


def test_a_store_that_cannot_be_written_keeps_what_ran_before(tailored, monkeypatch):
    mine, _ = tailored
    deploy(mine, ORDER)
    before = deployed(mine)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", full)
        with pytest.raises(StoreError, match="No space left on device"):
            deploy(mine, replace(ORDER, withdrawn=("x8",)))
    assert deployed(mine) == before
