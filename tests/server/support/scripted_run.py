"""A whole job over scripted devices, and what such a device may do instead of answering."""

from scripted import FakeTime, ScriptedDevice, Vanish

from fedtailor.protos.plan import CodecSpec, Recipe
from fedtailor.protos.schema import schema_of
from fedtailor.server.base import base_from
from fedtailor.server.coordinator import run_job
from fedtailor.server.job import Job
from fedtailor.server.registry import open_registry
from fedtailor.strategies.codec.ring import LONGEST
from fedtailor.strategies.merge.optimizer import OptimizerSpec
from fedtailor.strategies.models.model import initial_state

RECIPES = (Recipe(name="int8", shrink=1), Recipe(name="x8", shrink=8))
JOB = Job(
    rounds=3,
    deadline_s=20.0,
    join_s=5.0,
    codec=CodecSpec(name="fp32", version=1),
    downlink=CodecSpec(name="fp32", version=1),
    recipes=RECIPES,
    optimizer=OptimizerSpec(name="sgd", version=1),
    cooldown=0.0,
)


def run(folder, grid, job=JOB, time=None):
    steps = []
    with open_registry(folder) as registry:
        summary = run_job(grid, job, registry, lambda *step: steps.append(step), clock=(time or FakeTime()).clock)
    return summary, steps


def last_base(folder, device):
    with open_registry(folder) as registry:
        checkpoints = registry.checkpoints(LONGEST + 1)
    schema = schema_of(initial_state(device.order.plan.model, 0))
    base = base_from(checkpoints, schema, sender="test")
    return base.version, base.state


def devices(names="abc"):
    return [ScriptedDevice(name) for name in names]


def fail():
    raise RuntimeError("battery at 2 %")


def vanish(*_):
    raise Vanish
