"""One model and one device's rows, no federation: the ladder of its variants, judged, measured, and one chosen.

Without weights a base is trained on the other devices' train rows, as a fleet would have given it, and fine-tuned on
the device's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from fedtailor.client.bench import Tried
from fedtailor.client.choose import choose
from fedtailor.client.export import to_onnx
from fedtailor.client.probe import probe
from fedtailor.client.profile_data import profile_data
from fedtailor.client.runtime import open_session, predict
from fedtailor.client.store import DeviceStore
from fedtailor.client.tailor import Tailored, tailor
from fedtailor.client.whole_ladder import unpacked_whole, whole_ladder
from fedtailor.protos.budget import Budget
from fedtailor.protos.data_profile import DataProfile
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.protos.errors import DataError, PlanError
from fedtailor.protos.messages import Profile
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import DeviceData
from fedtailor.protos.variant import Ladder
from fedtailor.server.job import STUDENT
from fedtailor.server.progress import Progress
from fedtailor.server.report.wording import counted
from fedtailor.server.run import plan_template
from fedtailor.simulations.central import devices_of, pooled
from fedtailor.simulations.fleet import Fleet
from fedtailor.simulations.optimised import Candidate, Optimised
from fedtailor.simulations.personal_model import PersonalModel, personal_model
from fedtailor.simulations.user_model import check_answers, load_weights, user_part
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.interval import score_interval
from fedtailor.strategies.label_prior import fleet_labels
from fedtailor.strategies.models.model import build
from fedtailor.strategies.payload.payload import unpack
from fedtailor.strategies.plan import choose_model_spec, choose_plan
from fedtailor.strategies.task import TASKS

GIVEN = "weights"  # how a personal model came to be that was trained elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to optimise: the job's model and seed, by its recipes, with a student beside them, and its gate.

    `device` None is the first with train and validation rows; `weights` None trains a base for `epochs` first.
    """

    fleet: Fleet
    device: str | None = None
    budget: Budget = field(default_factory=Budget)
    weights: Path | None = None
    epochs: int = 15


@dataclass(frozen=True, eq=False)
class Task:
    """A wish whose data, model and weights have been found to fit each other."""

    wish: Wish
    data: DeviceData
    others: tuple[DeviceData, ...]
    profiles: tuple[DataProfile, ...]
    spec: ModelSpec
    given: PersonalModel | None


def prepare(wish: Wish) -> Task:
    """Read the rows and the weights, and build the model once: whatever is asked for in vain is said here.

    Raises:
        ConfigError, DataError, PlanError: one line says what was expected and what came.
    """
    devices = devices_of(wish.fleet)
    data = _wanted(devices, wish.device)
    profiles = tuple(profile_data(device) for device in devices)
    spec = choose_model_spec(profiles, wish.fleet.job.model)
    given = None if wish.weights is None else _given(spec, wish.weights)
    check_answers(given.module if given else build(spec), spec)
    others = tuple(device for device in devices if device is not data and len(device.train))
    return Task(wish, data, others, profiles, spec, given)


def optimise(task: Task, store: DeviceStore, progress: Progress) -> Optimised:
    """Train where no weights were given, tailor, and score every rung on the test split.

    store: where hardware figures and operator timings are kept for the next time.

    Raises:
        PlanError: the personal model answers NaN or infinity, or can be neither traced nor exported.
    """
    data, hardware = task.data, probe(task.data.device_id, store=store)
    plan = _plan(task, hardware)
    personal = task.given or personal_model(
        pooled(task.others or [data]).train, data, plan, epochs=task.wish.epochs, progress=progress
    )
    told = partial(progress, "tailor")
    try:
        net = trace(personal.module, plan.model)
    except PlanError as problem:
        tailored, model_of = whole_ladder(personal.module, problem, data, plan, hardware, told=told), unpacked_whole
    else:
        tailored, model_of = tailor(net, data, plan, hardware, store=store, told=told), _model_of
    ladder = _ladder(tailored, data, personal)
    chosen, reason = choose(ladder, ())
    return Optimised(
        data=data,
        plan=plan,
        machine=hardware.machine,
        whole=model_of is unpacked_whole,
        ladder=ladder,
        reference=_candidate(tailored.reference, data, model_of),
        rungs=tuple(_candidate(tried, data, model_of) for tried in tailored.rungs),
        chosen=chosen,
        reason=reason,
        problems=tailored.problems,
    )


def _wanted(devices: Sequence[DeviceData], device_id: str | None) -> DeviceData:
    usable = [device for device in devices if len(device.train) and len(device.validation)]
    for device in usable:
        if device_id in {None, device.device_id}:
            return device
    if not usable:
        raise DataError(
            f"device: expected one with train and validation rows, got none among {counted(len(devices), 'device')}; "
            "make one of all rows: --partition iid --devices 1"
        )
    known = ", ".join(device.device_id for device in usable[:5])
    more = f" and {len(usable) - 5} more" if len(usable) > 5 else ""
    raise DataError(f"device: expected one with train and validation rows ({known}{more}), got {device_id!r}")


def _given(spec: ModelSpec, path: Path) -> PersonalModel:
    """A model trained elsewhere: taken as it is, a user's own without our standardisation."""
    built = build(spec)
    own = user_part(built)
    module = built if own is None else own
    load_weights(module, path)
    return PersonalModel(module=module.eval(), method=GIVEN, base_score=None)


def _plan(task: Task, hardware: DeviceProfile) -> Plan:
    job = task.wish.fleet.job
    labels = fleet_labels(profile.class_counts for profile in task.profiles)
    template = plan_template(replace(job, recipes=(*job.recipes, STUDENT)), task.spec, labels)
    own = next(profile for profile in task.profiles if profile.device_id == task.data.device_id)
    asked = Profile(hardware=hardware, data=own, budget=task.wish.budget)
    return choose_plan(asked, template, labels)[0]


def _ladder(tailored: Tailored, data: DeviceData, personal: PersonalModel) -> Ladder:
    reference = tailored.reference.rung
    score = reference.validation_score
    return Ladder(
        device_id=data.device_id,
        round=0,
        base_version=0,
        base_hash="",
        personal_method=personal.method,
        base_validation_score=score if personal.base_score is None else personal.base_score,
        personal_validation_score=score,
        reference=reference,
        rungs=tuple(tried.rung for tried in tailored.rungs),
    )


def _model_of(payload: bytes) -> bytes:
    return to_onnx(unpack(payload))


def _candidate(tried: Tried, data: DeviceData, model_of: Callable[[bytes], bytes]) -> Candidate:
    model = model_of(tried.payload)
    score, interval = None, None
    if len(data.test):
        outputs = predict(open_session(model), data.test.x)
        score = TASKS[data.kind].score(outputs, data.test.y)
        interval = score_interval(outputs, data.test.y, data.kind)
    return Candidate(rung=tried.rung, payload=tried.payload, model=model, test_score=score, test_interval=interval)
