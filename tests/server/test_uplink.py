from dataclasses import replace

from fedtailor.protos.plan import CodecSpec
from fedtailor.server.job import Job
from fedtailor.server.uplink import uplink_of
from fedtailor.strategies.codec.profile import Statistics, profile


def test_what_a_job_names_is_what_devices_do():
    named = CodecSpec(name="topk", version=1, args={"share": 0.02})
    found = uplink_of(replace(Job(), codec=named, feedback=False, step_ahead=0.25), 1000)
    assert (found.codec, found.feedback, found.step_ahead) == (named, False, 0.25)


def test_otherwise_it_follows_from_how_often_devices_are_asked():
    rare = replace(Job(), fraction=0.1, rounds=90, step_ahead=0.25)
    assert uplink_of(rare, 1000) == profile(0.1, Statistics(rounds=90, parameters=1000))
    assert uplink_of(Job(), 1000) != uplink_of(rare, 1000)
