"""A device under way tells its data anew."""

from dataclasses import replace

import numpy as np
import pytest
from small_devices import SPEC, device, plan, rows

from fedtailor.client.learn import learn
from fedtailor.client.profile import PLANNED, profile_device, recall_record
from fedtailor.client.reprofile import reprofile_device
from fedtailor.client.train import train
from fedtailor.protos.messages import Instruction
from fedtailor.protos.plan import TrainPlan
from fedtailor.protos.samples import DeviceData
from fedtailor.protos.schema import schema_of
from fedtailor.protos.wire import to_bytes
from fedtailor.strategies.codec.broadcast import snapshot
from fedtailor.strategies.codec.grid import steps_of
from fedtailor.strategies.codec.public_base import first_public
from fedtailor.strategies.drift import moved
from fedtailor.strategies.models.model import initial_state

WELL = TrainPlan(epochs=20, batch_size=16, learning_rate=0.1)
ROWS = {"train": 200, "validation": 80}


def base(version, state):
    return snapshot(first_public(schema_of(state), version, steps_of(state)))


@pytest.fixture(scope="module")
def learned():
    """A base that knows the device's task."""
    return train(initial_state(SPEC, 0), rows(600, 5), SPEC, WELL, seed=0).state


def order(state, round_, *, profile_round=0):
    asked = replace(plan(round_=round_, base_version=round_), profile_round=profile_round)
    return Instruction(plan=asked, base=base(round_, state), acknowledged_round=0)


def drift_of(profile):
    return profile.data.drift


def test_nothing_has_moved_where_the_rows_are_the_same_or_alike(tmp_path, learned):
    mine = device(tmp_path, **ROWS)
    profile_device(mine, 0)
    first = reprofile_device(mine, order(learned, 2))
    assert (moved(drift_of(first)), drift_of(first).confidence, first.data.round) == ((), None, 2)
    alike = replace(mine, data=replace(mine.data, train=rows(200, 31), validation=rows(80, 32)))
    second = reprofile_device(alike, order(learned, 4))
    assert moved(drift_of(second)) == ()
    assert drift_of(second).confidence is not None


def lifted(data: DeviceData, much: float) -> DeviceData:
    return replace(data, train=replace(data.train, x=data.train.x + np.float32(much)))


def moving(folder, learned, changed):
    """What a device tells once its data has become `changed`, after it told twice that all was as before."""
    mine = device(folder, **ROWS)
    profile_device(mine, 0)
    reprofile_device(mine, order(learned, 2))
    return moved(drift_of(reprofile_device(replace(mine, data=changed(mine.data)), order(learned, 4))))


def test_classes_that_mean_something_else_are_noticed_by_the_loss_alone(tmp_path, learned):
    def renamed(data: DeviceData) -> DeviceData:
        return replace(data, train=rows(200, 31, shift=1), validation=rows(80, 32, shift=1))

    assert moving(tmp_path, learned, renamed) == ("loss",)


def test_a_shift_of_features_is_noticed_by_the_features(tmp_path, learned):
    assert moving(tmp_path, learned, lambda data: lifted(data, 1)) == ("features",)


def test_training_in_between_is_no_drift(tmp_path, learned):
    """One base judges both times; the newer one is better or worse for reasons of its own."""
    mine = device(tmp_path, **ROWS)
    profile_device(mine, 0)
    reprofile_device(mine, order(learned, 2))
    worse = {name: -value for name, value in learned.items()}
    told = drift_of(reprofile_device(mine, order(worse, 4)))
    assert told.confidence.size == pytest.approx(0.0, abs=1e-6)


def test_an_answer_that_was_lost_is_told_again_until_a_plan_is_made_from_it(tmp_path, learned):
    mine = device(tmp_path, **ROWS)
    profile_device(mine, 0)
    after = replace(mine, data=lifted(mine.data, 1))
    lost = reprofile_device(after, order(learned, 2))
    again = reprofile_device(after, order(learned, 4))
    heard = reprofile_device(after, order(learned, 6, profile_round=4))
    assert [moved(drift_of(each)) for each in (lost, again, heard)] == [("features",), ("features",), ()]


def test_small_steps_add_up_to_drift(tmp_path, learned):
    """Against the last profile none of them would be noticed."""
    mine = device(tmp_path, **ROWS)
    profile_device(mine, 0)
    steps = [(at, replace(mine, data=lifted(mine.data, 0.1 * at))) for at in range(1, 9)]
    found = [moved(drift_of(reprofile_device(now, order(learned, at)))) for at, now in steps]
    assert found[0] == ()
    assert found[-1] == ("features",)


def test_the_same_question_twice_has_the_same_answer(tmp_path, learned):
    mine = device(tmp_path, **ROWS)
    profile_device(mine, 0)
    reprofile_device(mine, order(learned, 2))
    after = replace(mine, data=lifted(mine.data, 1))
    assert reprofile_device(after, order(learned, 4)) == reprofile_device(after, order(learned, 4))


def test_a_device_that_lost_its_record_begins_anew(tmp_path, learned):
    mine = device(tmp_path, **ROWS)
    assert drift_of(reprofile_device(mine, order(learned, 2))) is None
    assert moved(drift_of(reprofile_device(replace(mine, data=lifted(mine.data, 1)), order(learned, 4)))) == (
        "features",
    )


def test_a_judge_of_another_model_is_not_asked(tmp_path, learned):
    mine = device(tmp_path, **ROWS)
    profile_device(mine, 0)
    reprofile_device(mine, order(learned, 2))
    kept = recall_record(mine.store, PLANNED)
    mine.store.put(PLANNED, to_bytes(replace(kept, judge=replace(kept.judge, schema_hash=b"else"))))
    told = drift_of(reprofile_device(mine, order(learned, 4)))
    assert (told.confidence, moved(told)) == (None, ())


def test_a_device_without_rows_says_so(tmp_path, learned):
    mine = device(tmp_path, train=0, validation=0)
    profile_device(mine, 0)
    told = reprofile_device(mine, order(learned, 2))
    assert (told.data.train_samples, moved(drift_of(told))) == (0, ())


def test_training_goes_on_from_the_base_that_came_with_the_question(tmp_path, learned):
    mine = device(tmp_path, **ROWS)
    profile_device(mine, 0)
    reprofile_device(mine, order(learned, 2))
    held = replace(base(2, learned), held_version=2, hops=())
    asked = Instruction(plan=plan(round_=2, base_version=2), base=held, acknowledged_round=0)
    assert learn(mine, asked).update.base_version == 2
