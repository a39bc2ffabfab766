"""What devices end with: guarded where the product guards, plain where a paper does not."""

from dataclasses import replace

import numpy as np
import pytest
from learning_fleets import KINDS, learning_fleet
from small_variants import HARDWARE

from fedtailor.protos.plan import GatePlan
from fedtailor.protos.samples import Samples
from fedtailor.simulations import learning_course
from fedtailor.simulations.learning_course import intake_of
from fedtailor.simulations.learning_finals import (
    fine_tuned,
    in_integers,
    mixed,
    own,
    personal,
    shared,
    with_own_head,
    with_own_part,
)
from fedtailor.simulations.learning_newcomer import WAYS
from fedtailor.simulations.learning_outcome import Ending, Outcome
from fedtailor.simulations.learning_training import plainly
from fedtailor.simulations.learning_turns import FEDPER
from fedtailor.strategies.models.model import initial_state


@pytest.fixture(scope="module", params=KINDS)
def ending(request, tmp_path_factory):
    """A device at the end of a training that gave it a head of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning_course, "probe", lambda *_, **__: HARDWARE)
        intake = intake_of(learning_fleet(tmp_path_factory.mktemp("rows"), request.param, rounds=1), 4, None, 0)
        yield Ending(intake, plainly(FEDPER)(intake), intake.course.devices["a"])


def scores(ending, *finals):
    return [final(ending).score(ending.data.test) for final in finals]


def test_each_final_is_another_model(ending):
    found = scores(ending, shared, fine_tuned, with_own_part, with_own_head)
    assert len(set(found)) > 1
    assert np.isfinite(found).all()


def test_a_device_that_never_had_a_turn_gets_what_everybody_has(ending):
    new = Ending(ending.intake, replace(ending.outcome, kept={}), ending.data)
    assert len(set(scores(new, shared, own, with_own_part, mixed))) == 1
    assert {final(new).way for final in (own, with_own_part)} == {"shared"}


def test_a_training_without_a_shared_model_says_so(ending):
    with pytest.raises(ValueError, match="no shared model"):
        shared(Ending(ending.intake, Outcome(shared=None), ending.data))


def test_int8_stands_in_where_the_gate_lets_it(ending, monkeypatch):
    final = in_integers(with_margin(ending, 1.0, monkeypatch))
    assert final.way == "int8"
    (integers,), (floats,) = scores(ending, lambda _: final), scores(ending, personal)
    assert integers == pytest.approx(floats, rel=0.2)


def test_int8_gives_way_where_the_gate_rejects_it(ending):
    nothing_known = replace(ending.data, validation=none_of(ending.data.validation))
    refused = Ending(ending.intake, ending.outcome, nothing_known)
    assert in_integers(refused).way == personal(refused).way != "int8"
    assert scores(refused, in_integers) == scores(refused, personal)


def with_margin(ending, margin, monkeypatch):
    plan = ending.intake.plan(ending.data.device_id)
    generous = replace(plan, gate=GatePlan(margin=margin))
    monkeypatch.setattr(type(ending.intake), "plan", lambda *_: generous)
    return Ending(ending.intake, ending.outcome, ending.data)


def none_of(samples):
    return Samples(samples.x[:0], samples.y[:0])


def test_a_newcomer_without_train_rows_has_the_base_in_fp32_and_cannot_train(ending):
    bare = Ending(ending.intake, ending.outcome, replace(ending.data, train=none_of(ending.data.train)))
    assert in_integers(bare).way == "shared"
    ways = {name: way(bare) for name, way in WAYS.items()}
    assert ways["base only"] is not None
    assert ways["after its own fine-tuning"] is None


def test_fine_tuning_starts_from_the_shared_model(ending):
    elsewhere = replace(ending.outcome, shared=initial_state(ending.intake.course.template.model, 9))
    assert scores(ending, fine_tuned) == scores(Ending(ending.intake, ending.outcome, ending.data), fine_tuned)
    assert scores(ending, fine_tuned) != scores(Ending(ending.intake, elsewhere, ending.data), fine_tuned)
