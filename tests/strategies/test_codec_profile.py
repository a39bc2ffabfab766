"""The rarer a device is asked, the more each of its updates says."""

import pytest
from hypothesis import given
from hypothesis.strategies import booleans, floats, integers

from fedtailor.strategies.codec.codec import coder_of
from fedtailor.strategies.codec.profile import LEAST, MOST, OFTEN, SAID, Statistics, broadcast_profile, profile

SHARES = floats(0.01, 1.0)
RARE = floats(0.01, OFTEN, exclude_max=True)
PARAMETERS = 1_000_000


def uplink(participation, rounds=80, parameters=PARAMETERS, *, skewed=True):
    return profile(participation, Statistics(rounds=rounds, parameters=parameters, skewed=skewed))


@given(participation=SHARES, rounds=integers(1, 1000), parameters=integers(1, 10**8))
def test_whatever_is_chosen_is_a_codec_that_is_known(participation, rounds, parameters):
    chosen = uplink(participation, rounds, parameters)
    assert coder_of(chosen.codec)
    assert 0 <= chosen.step_ahead <= 1


@given(rarely=RARE, often=RARE, rounds=integers(3, 1000))
def test_who_is_asked_more_rarely_says_no_less_at_a_time(rarely, often, rounds):
    rarely, often = sorted((rarely, often))
    few, many = uplink(often, rounds).codec, uplink(rarely, rounds).codec
    if many.name == "rotate":
        return
    assert few.name == "stc"
    assert LEAST <= few.args["share"] <= many.args["share"] <= MOST


def test_over_a_run_a_device_names_the_same_share_of_coordinates_however_often_it_is_asked():
    for participation in (0.1, 0.2, 0.3):
        assert participation * 80 * uplink(participation).codec.args["share"] == pytest.approx(SAID)


@given(participation=floats(0.1, 1.0), rounds=integers(30, 1000))
def test_devices_with_labels_like_the_others_say_all_and_keep_nothing_back(participation, rounds):
    chosen = uplink(participation, rounds, skewed=False)
    assert chosen == (uplink(1.0) if participation >= OFTEN else uplink(0.001))


@given(participation=SHARES, skewed=booleans())
def test_who_is_asked_rarely_in_a_skewed_fleet_is_told_of_the_base_in_larger_steps(participation, skewed):
    codec = broadcast_profile(participation, skewed=skewed)
    assert coder_of(codec)
    assert codec.args["step"] == (3 if participation < OFTEN and skewed else 1)


@given(participation=floats(OFTEN, 1.0), rounds=integers(1, 1000))
def test_who_is_asked_often_says_nearly_all_and_starts_from_the_base_itself(participation, rounds):
    chosen = uplink(participation, rounds)
    assert (chosen.codec.name, chosen.codec.args, chosen.feedback) == ("deadzone", {"step": 2}, True)
    assert chosen.step_ahead == 0


def test_a_device_that_is_asked_once_or_twice_keeps_no_state():
    chosen = uplink(0.02, rounds=80)
    assert (chosen.codec.name, chosen.feedback, chosen.step_ahead) == ("rotate", False, 0.0)


def test_a_small_model_says_enough_coordinates_to_be_worth_an_envelope():
    assert uplink(0.25, parameters=1000).codec.args["share"] == pytest.approx(0.064)
    assert uplink(0.25, parameters=10).codec.args["share"] == 1


@pytest.mark.parametrize("participation", [0.0, 1.5])
def test_a_share_that_cannot_be_is_refused(participation):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        uplink(participation)
