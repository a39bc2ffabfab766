"""One job: what a run is asked to do, read from and written to a TOML table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path

from fedtailor.protos.errors import ConfigError
from fedtailor.protos.plan import CodecSpec, GatePlan, PersonalPlan, Recipe, TrainPlan
from fedtailor.server.settings import read_settings
from fedtailor.strategies.choice.choice import ChoiceSpec
from fedtailor.strategies.merge.aggregate import AggregateSpec
from fedtailor.strategies.merge.optimizer import OptimizerSpec

AUTO = "auto"
ROUNDS, BUFFERED = "rounds", "buffered"

TRAIN = TrainPlan(epochs=1, batch_size=16, learning_rate=0.05, momentum=0.9, clip_norm=2.0)
PERSONAL = PersonalPlan(method=AUTO, epochs=60, batch_size=16, learning_rate=0.05, proximal=1.0)
GATE = GatePlan()
LADDER = (
    Recipe(name="int8", shrink=1, precision="int8"),
    *(Recipe(name=f"x{shrink}", shrink=shrink, distil_steps=200) for shrink in (6, 16, 32, 48, 64)),
)
STUDENT = Recipe(name="student", shrink=1, student=0.1, distil_steps=600)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsemblePlan:
    """What the server does to a merged base with the models it was merged of: `steps` of training, 0 for none, towards
    what they answer on average to the rows of the file `proxy`, of which labels are not read.
    """

    proxy: str = ""
    steps: int = 0
    learning_rate: float = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run from the first profile to the last variant.

    A round wants `fraction` of the devices present (where `tags` are named: of those with one of them), chosen by
    `choice`, and is committed if at least `minimum_fraction` of these answered within `deadline_s`. `over_selection`
    asks so much more than that, 0.3 for 30 %, and the round ends once as many have answered as it wants: slow devices
    are not waited for. With `mode` `buffered` nobody is waited for: `concurrency` devices train at any time (0: as many
    as `fraction` says), every `buffer` updates (0: a quarter of those devices) are committed, which counts as a round,
    and one from a base more than `staleness` commits ago is skipped. The run starts once `minimum_devices` have joined,
    and waits `join_s` for them.
    `codec` writes down the devices' updates, `downlink` the base's own steps; what the latter leaves out stays with the
    server until it can be said. `auto` chooses either by how often devices are asked and how much their labels differ,
    `feedback` and `step_ahead` with it; these and `local_parameters` are explained with `Plan`.
    `personal.method` may be `auto`: chosen per device from its data profile. A device whose memory takes no training
    step of the whole model is `weak`: it trains a submodel by `depth` or `width`, or is left out (`leave-out`).
    `aggregate` combines a round's updates, and by what they come to `optimizer` moves the base. `kappa` shrinks
    coordinates that few devices cover and `update_norm` clips each update; 0 switches either off. What was merged then
    learns from the `ensemble` of what it was merged of, where that names proxy rows. A device
    with few rows trains more epochs than `train` says (`local_training`). Over the last `cooldown` of the rounds the
    learning rate of training falls to a twentieth. Every `reprofile_every` rounds devices profile their data anew, and
    those whose data has moved are planned anew; 0: never.
    """

    name: str = "fedtailor"
    about: str = ""
    mode: str = ROUNDS
    rounds: int = 40
    buffer: int = 0
    concurrency: int = 0
    staleness: int = 20
    fraction: float = 1.0
    choice: ChoiceSpec = field(default_factory=lambda: ChoiceSpec(name="uniform", version=1))
    tags: tuple[str, ...] = ()
    over_selection: float = 0.0
    minimum_fraction: float = 0.5
    minimum_devices: int = 1
    join_s: float = 60.0
    deadline_s: float = 600.0
    seed: int = 0
    model: str | None = None
    codec: CodecSpec = field(default_factory=lambda: CodecSpec(name=AUTO, version=1))
    downlink: CodecSpec = field(default_factory=lambda: CodecSpec(name=AUTO, version=1))
    feedback: bool = True
    step_ahead: float = 0.0
    local_parameters: tuple[str, ...] = ()
    train: TrainPlan = TRAIN
    personal: PersonalPlan = PERSONAL
    recipes: tuple[Recipe, ...] = LADDER
    gate: GatePlan = GATE
    weak: str = "depth"
    reprofile_every: int = 0
    cooldown: float = 0.25
    aggregate: AggregateSpec = field(default_factory=lambda: AggregateSpec(name="mean", version=1))
    optimizer: OptimizerSpec = field(default_factory=lambda: OptimizerSpec(name="momentum", version=1))
    kappa: float = 0.0
    update_norm: float = 0.0
    ensemble: EnsemblePlan = field(default_factory=EnsemblePlan)


# A quarter of the devices moves the base a quarter as far, four times as often: momentum on top of that is too much
# (watch rows dealt to 20 devices by dirichlet:0.3, seed 0: validation score .92 without, .78 with .7).
_BUFFERED = Job(mode=BUFFERED, optimizer=OptimizerSpec(name="sgd", version=1))


def job_from(table: Mapping[str, object]) -> Job:
    """A job from a TOML table; what the table does not name keeps its default, the optimizer that of the mode.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range.
    """
    job: Job = read_settings(_BUFFERED if table.get("mode") == BUFFERED else Job(), table, "job")
    names = [recipe.name for recipe in job.recipes]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"job.recipes: name {name!r} is given twice; each recipe needs a name of its own")
    check_ensemble(job)
    return job


def check_ensemble(job: Job) -> None:
    """Whether the job's ensemble can be asked.

    Raises:
        ConfigError: it names only one of proxy and steps, or the job trains in a way that has no ensemble to ask.
    """
    asked = job.ensemble
    if bool(asked.proxy) != bool(asked.steps):
        raise ConfigError(
            f"job.ensemble: expected proxy, a file of rows, together with steps above 0, got proxy {asked.proxy!r} and "
            f"steps {asked.steps}; give both, or neither"
        )
    obstacles = (
        (job.mode == BUFFERED, "mode rounds, got mode buffered, in which models of several bases answer"),
        (job.local_parameters, "no local_parameters, got some: the server does not know the devices' own"),
        (
            job.aggregate.name != "mean",
            f"aggregate mean, got {job.aggregate.name}: an ensemble hears all devices alike",
        ),
        (job.update_norm, f"update_norm 0, got {job.update_norm:g}: an ensemble hears all that an update says"),
    )
    for obstacle, line in obstacles:
        if asked.steps and obstacle:
            raise ConfigError(f"job.ensemble: expected {line}; leave job.ensemble out, or change that")


def anchored(job: Job, folder: Path) -> Job:
    """The job with its path absolute: where it was relative, it starts at `folder`."""
    proxy = job.ensemble.proxy
    return replace(job, ensemble=replace(job.ensemble, proxy=str((folder / proxy).resolve()))) if proxy else job


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
