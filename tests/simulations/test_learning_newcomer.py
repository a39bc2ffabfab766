"""What a newcomer is given before it has trained."""

from dataclasses import replace

import numpy as np
import pytest
from learning_fleets import learning_fleet
from small_variants import HARDWARE

from fedtailor.simulations import learning_course
from fedtailor.simulations.learning_course import intake_of
from fedtailor.simulations.learning_finals import final
from fedtailor.simulations.learning_newcomer import WAYS
from fedtailor.simulations.learning_outcome import Ending
from fedtailor.simulations.learning_training import by_the_job


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    """A device with rows of its own that took no part, and three that did."""
    monkeypatch.setattr(learning_course, "probe", lambda *_, **__: HARDWARE)
    intake = intake_of(learning_fleet(tmp_path, rounds=1), 3, 0.25, 1)
    outcome = by_the_job(intake)
    members = [Ending(intake, outcome, data) for data in intake.course.devices.values()]
    (ending,) = (Ending(intake, outcome, data, members) for data in intake.newcomers if len(data.train))
    return ending


def test_the_nearest_cohort_is_the_mean_of_its_members(newcomer):
    member = newcomer.members[0]
    given = WAYS["nearest cohort"](replace(newcomer, members=[member, member]))
    own = final(newcomer, member.personal.state, "own")
    assert given.score(newcomer.data.test) == own.score(newcomer.data.test)


def test_calibration_takes_no_training_and_needs_a_prior(newcomer):
    newcomer.__dict__["plan"] = replace(newcomer.plan, label_prior=())
    assert WAYS["calibration only"](newcomer) is None
    newcomer.__dict__["plan"] = replace(newcomer.plan, label_prior=(0.0, 1e6))
    told = WAYS["calibration only"](newcomer)
    assert told.score(newcomer.data.test) == np.mean(newcomer.data.test.y == 1)
