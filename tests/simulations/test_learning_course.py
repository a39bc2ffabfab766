"""Who takes part, and who comes afterwards."""

from dataclasses import replace

import numpy as np
import pytest
from learning_fleets import NEW, TRAINED, arrays_of, learning_fleet
from small_variants import HARDWARE

from fedtailor.client.fleet_file import write_fleet_file
from fedtailor.protos.errors import DataError
from fedtailor.simulations import learning_course
from fedtailor.simulations.fleet import fleet_from
from fedtailor.simulations.learning_course import intake_of


def fleet_with(folder, *, split):
    """The small fleet, split otherwise."""
    path = folder / "rows.npz"
    write_fleet_file(path, replace(arrays_of("classification"), split=split))
    return fleet_from({"data": str(path)})


def everybody_trains():
    return np.tile(np.repeat(np.uint8([0, 1, 2]), (20, 8, 12)), len(TRAINED) + 1)


def newcomers(intake):
    return {data.device_id for data in intake.newcomers}


def test_devices_that_only_test_are_newcomers_and_nobody_else(tmp_path):
    intake = intake_of(learning_fleet(tmp_path), 2, None, 0)
    assert newcomers(intake) == {NEW}
    assert set(intake.course.devices) == set(TRAINED)


def test_where_all_train_a_fifth_is_held_out_by_the_seed(tmp_path):
    fleet = fleet_with(tmp_path, split=everybody_trains())
    drawn = [newcomers(intake_of(fleet, 2, None, seed)) for seed in range(6)]
    assert {len(names) for names in drawn} == {1}
    assert len(set().union(*drawn)) > 1
    assert drawn[0] == newcomers(intake_of(fleet, 2, None, 0))
    assert not newcomers(intake_of(fleet, 2, 0.0, 0))


def test_a_share_asked_for_is_of_the_devices_that_can_train(tmp_path):
    fleet = learning_fleet(tmp_path)
    assert len(newcomers(intake_of(fleet, 2, 0.5, 0))) == 3  # two of four, and the one without train rows
    assert len(intake_of(fleet, 2, 0.9, 0).course.devices) == 1


def test_the_model_knows_nothing_of_newcomers(tmp_path):
    fleet = fleet_with(tmp_path, split=everybody_trains())
    everybody, some = (intake_of(fleet, 2, share, 0).course.template.model for share in (0.0, 0.4))
    assert everybody.feature_means != some.feature_means


def test_a_round_asks_so_many_of_the_devices_that_take_part(tmp_path):
    course = intake_of(learning_fleet(tmp_path), 3, None, 0).course
    assert [len(course.plans(number)) for number in (1, 2)] == [3, 3]


def test_the_product_s_own_plan_is_chosen_from_the_data(tmp_path, monkeypatch):
    monkeypatch.setattr(learning_course, "probe", lambda *_, **__: HARDWARE)
    intake = intake_of(learning_fleet(tmp_path, personal={"method": "auto"}), 3, None, 0)
    plans = [intake.own_plan(data) for data in (intake.course.devices["a"], *intake.newcomers)]
    assert plans[1].personal.method == "shared"
    assert plans[0].seed == intake.plan("a").seed != intake.plan("b").seed
    assert plans[0].personal.method != "auto"


def test_a_fleet_without_test_rows_is_refused(tmp_path):
    fleet = fleet_with(tmp_path, split=everybody_trains() % 2)
    with pytest.raises(DataError, match="expected test rows to score methods on, got none"):
        intake_of(fleet, 2, None, 0)
