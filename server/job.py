"""One job: what a run is asked to do, read from and written to a TOML table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass

from fedtailor.protos.errors import ConfigError
from fedtailor.protos.plan import CodecSpec, GatePlan, PersonalPlan, Recipe, TrainPlan
from fedtailor.server.settings import read_settings

AUTO = "auto"

TRAIN = TrainPlan(epochs=1, batch_size=16, learning_rate=0.05, momentum=0.9, clip_norm=2.0)
PERSONAL = PersonalPlan(method=AUTO, epochs=30, batch_size=16, learning_rate=0.05)
GATE = GatePlan()
LADDER = (
    Recipe(name="int8", shrink=1, precision="int8"),
    *(Recipe(name=f"x{shrink}", shrink=shrink, distil_steps=200) for shrink in (6, 16, 32, 48, 64)),
)
STUDENT = Recipe(name="student", shrink=1, student=0.1, distil_steps=600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run from the first profile to the last variant.

    A round asks `fraction` of the devices present and is committed if at least `minimum_fraction` of those asked
    answered within `deadline_s`. The run starts once `minimum_devices` have joined, and waits `join_s` for them.
    `codec` writes down the devices' updates, `downlink` the base's own steps; what the latter leaves out stays with the
    server until it can be said. A codec `auto`, with its feedback and step ahead, is chosen by how often devices are
    asked. `feedback`, `step_ahead` and `local_parameters` are explained with `Plan`. `personal.method` may be `auto`:
    chosen per device from its data profile. `kappa` shrinks coordinates that few
    devices cover and `update_norm` clips each update; 0 switches either off. Over the last `cooldown` of the rounds the
    learning rate of training falls to a twentieth.
    """

    name: str = "fedtailor"
    about: str = ""
    rounds: int = 40
    fraction: float = 1.0
    minimum_fraction: float = 0.5
    minimum_devices: int = 1
    join_s: float = 60.0
    deadline_s: float = 600.0
    seed: int = 0
    model: str | None = None
    codec: CodecSpec = field(default_factory=lambda: CodecSpec(name=AUTO, version=1))
    downlink: CodecSpec = field(default_factory=lambda: CodecSpec(name="deadzone", version=1))
    feedback: bool = True
    step_ahead: float = 0.0
    local_parameters: tuple[str, ...] = ()
    train: TrainPlan = TRAIN
    personal: PersonalPlan = PERSONAL
    recipes: tuple[Recipe, ...] = LADDER
    gate: GatePlan = GATE
    cooldown: float = 0.25
    server_learning_rate: float = 1.0
    server_momentum: float = 0.7
    kappa: float = 0.0
    update_norm: float = 0.0


def job_from(table: Mapping[str, object]) -> Job:
    """A job from a TOML table; what the table does not name keeps its default.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range.
    """
    job: Job = read_settings(Job(), table, "job")
    names = [recipe.name for recipe in job.recipes]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"job.recipes: name {name!r} is given twice; each recipe needs a name of its own")
    return job


def job_table(job: Job) -> dict[str, object]:
    """The job as plain tables, lists and values, for a TOML file; `job_from` reads it back."""
    return _table(job)


def job_json(job: Job) -> str:
    """One line, equal for equal jobs."""
    return json.dumps(job_table(job), sort_keys=True)


def job_from_json(text: str) -> Job:
    """The inverse."""
    return job_from(json.loads(text))


def _table(noun: object) -> dict[str, object]:
    values = {entry.name: getattr(noun, entry.name) for entry in fields(noun)}  # type: ignore[arg-type]
    return {key: _plain(value) for key, value in values.items() if value is not None}  # TOML has no null


def _plain(value: object) -> object:
    if is_dataclass(value):
        return _table(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, dict) else value
