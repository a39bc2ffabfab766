from dataclasses import replace

import pytest
from scripted import FakeTime, ScriptedDevice, fleet

from fedtailor.protos.errors import RegistryError
from fedtailor.protos.plan import CodecSpec
from fedtailor.server.coordinator import run_job, train
from fedtailor.server.job import Job
from fedtailor.server.registry import open_registry
from fedtailor.server.run import start
from fedtailor.server.summarise import summarise

JOB = replace(Job(), name="demo", about="made up", rounds=2, seed=5, codec=CodecSpec(name="uniform", version=1))


def quiet(*_):
    pass


def test_a_summary_read_later_is_the_one_the_run_returned(tmp_path):
    with open_registry(tmp_path) as registry:
        told = run_job(fleet(ScriptedDevice("a"), ScriptedDevice("b")), JOB, registry, quiet, clock=FakeTime().clock)
    with open_registry(tmp_path, create=False) as registry:
        assert summarise(registry) == told
    assert (told.name, told.about, told.seed, told.codec) == ("demo", "made up", 5, "uniform v1")
    assert told.model == "mlp v1, 4,610 parameters"
    assert (told.metric, told.better, told.base_fp32_bytes) == ("accuracy", "higher", 4 * 4610)


def test_a_run_that_broke_off_can_be_summarised(tmp_path):
    with open_registry(tmp_path) as registry:
        train(start(fleet(ScriptedDevice("a")), JOB, registry, quiet, FakeTime().clock))
        (device,) = summarise(registry).devices
    assert (device.scores, device.ladder, device.variant) == (None, None, None)
    assert device.rounds_answered == 2


def test_a_registry_without_a_run_is_refused(tmp_path):
    with open_registry(tmp_path) as registry, pytest.raises(RegistryError, match="holds no run yet"):
        summarise(registry)
