from dataclasses import replace

import pytest

from fedtailor.protos.plan import CodecSpec
from fedtailor.server.job import Job
from fedtailor.server.uplink import downlink_of, uplink_of
from fedtailor.strategies.codec.profile import Statistics, broadcast_profile, profile
from fedtailor.strategies.label_prior import FleetLabels

EVEN, SKEWED = FleetLabels((50, 50), 0.0), FleetLabels((50, 50), 0.4)
NAMED = CodecSpec(name="topk", version=1, args={"share": 0.02})


def test_what_a_job_names_is_what_devices_do():
    found = uplink_of(replace(Job(), codec=NAMED, feedback=False, step_ahead=0.25), 1000, SKEWED)
    assert (found.codec, found.feedback, found.step_ahead) == (NAMED, False, 0.25)


@pytest.mark.parametrize("labels", [EVEN, SKEWED])
def test_otherwise_it_follows_from_how_often_devices_are_asked_and_how_they_differ(labels):
    rare = replace(Job(), fraction=0.1, rounds=90, step_ahead=0.25)
    assert uplink_of(rare, 1000, labels) == profile(0.1, Statistics(rounds=90, parameters=1000, skewed=labels.skewed))
    assert uplink_of(rare, 1000, EVEN) != uplink_of(rare, 1000, SKEWED)


def test_the_way_down_is_as_the_job_names_it_or_follows_from_how_often_devices_are_asked():
    assert downlink_of(replace(Job(), downlink=NAMED), SKEWED) == NAMED
    rare = replace(Job(), fraction=0.1)
    assert downlink_of(rare, SKEWED) == broadcast_profile(0.1, skewed=True) != downlink_of(Job(), SKEWED)
    assert downlink_of(rare, EVEN) == downlink_of(Job(), EVEN) == downlink_of(Job(), SKEWED)
