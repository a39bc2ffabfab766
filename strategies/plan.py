"""What the fleet trains and what each device is asked to do: decided from profiles, budgets and the job's settings."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.data_profile import DataProfile
from fedtailor.protos.errors import PlanError
from fedtailor.protos.messages import Profile
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import PersonalPlan, Plan, TrainPlan
from fedtailor.strategies.label_prior import FleetLabels, label_prior
from fedtailor.strategies.models.model import choose_model, head_of, model_named
from fedtailor.strategies.submodel.choose import fitting, head_within, rolled

AUTO = "auto"
# Fewer: fine-tuning fits noise. Speakers with about twelve clips, validation rows: base .72, fine-tuned .71, drawn to
# the base meanwhile .80, half of that way .77 (seed 0); guarded by other rows, base .78, half of that way .82 (seed 1).
LITTLE_LABELS = 40
# Speakers with about twelve clips, 20 of 132 a round, 100 rounds, validation rows, seeds 0 and 1: one step a round .41
# and .34, four .56 and .62, eight .74 and .77, sixteen .75 and .77. Roles of a play, some of which have as few rows:
# 3.45 and 3.53 bits, eight steps 3.41 and 3.47. With four batches, as engines have, a second epoch did harm.
LOCAL_STEPS = 8
FEW_BATCHES = 2
STRONG_SKEW = 0.5  # total variation distance from the fleet's label distribution
CONSTANT = 1e-6  # a channel whose deviation is below this share of its mean is constant


def choose_model_spec(profiles: Sequence[DataProfile], name: str | None = None) -> ModelSpec:
    """The model for a fleet: `name`, or the first built-in that suits the data.

    Standardisation comes from the devices' moments pooled by their train rows; a constant channel has scale 1.

    Raises:
        PlanError: no device has rows to train on, devices disagree about their data, or no model takes it.
    """
    trained = [profile for profile in profiles if profile.train_samples > 0]
    if not trained:
        raise PlanError(f"none of {len(profiles)} devices has rows to train on; give at least one device a train split")
    kind, shape, outputs = _agreed(profiles)
    model = choose_model(kind, shape) if name is None else model_named(name)
    if not model.suits(kind, shape):
        raise PlanError(f"model {name!r} does not take samples of shape {list(shape)} for {kind}; leave --model out")
    rows = np.array([profile.train_samples for profile in trained], np.float64)
    means, scales = _pooled(
        rows,
        np.array([profile.feature_means for profile in trained]),
        np.array([profile.feature_variances for profile in trained]),
    )
    target_mean, target_scale = _pooled(
        rows,
        np.array([[profile.target_mean] for profile in trained]),
        np.array([[profile.target_variance] for profile in trained]),
    )
    return ModelSpec(
        name=model.name,
        version=model.version,
        kind=kind,
        input_shape=shape,
        outputs=outputs,
        feature_means=tuple(means.tolist()),
        feature_scales=tuple(scales.tolist()),
        target_mean=float(target_mean[0]),
        target_scale=float(target_scale[0]),
    )


def check_profile(profile: DataProfile, spec: ModelSpec) -> None:
    """Whether a device that joins later fits the fleet's model.

    Raises:
        PlanError: its data is of another kind, shape or number of outputs.
    """
    if _form(profile) != (want := (spec.kind, spec.input_shape, spec.outputs)):
        raise PlanError(f"device {profile.device_id}: expected {_words(want)}, got {_words(_form(profile))}")


def choose_plan(profile: Profile, template: Plan, fleet: FleetLabels, *, weak: str | None = None) -> tuple[Plan, str]:
    """One device's plan, and how it is personalised in a word for the table.

    template: the job's settings and the model, the same for every device. fleet: `fleet_labels`. weak: what a device
    trains that the whole model is too much for, `depth`, `width` or `leave-out`; it then personalises the head at most.

    Raises:
        PlanError: no training step fits the device's `train_ram_bytes`, and `weak` is None.
    """
    personal, word = choose_personal(profile.data, fleet, template.personal)
    margin, ram_bytes = profile.budget.accuracy_margin, profile.budget.train_ram_bytes
    footprint, submodel = template.train.footprint, None
    if ram_bytes is not None:
        rows = max(template.train.batch_size, personal.batch_size)
        footprint, submodel = fitting(template.model, rows, ram_bytes, weak)
        if submodel is not None and personal.method not in ("shared", "prior"):
            head = head_within(template.model, rows, ram_bytes, footprint)
            personal = replace(personal, method="head" if head else "shared")
            footprint, word = head or footprint, f"{personal.method} (weak device)"
    plan = replace(
        template,
        device_id=profile.data.device_id,
        train=replace(local_training(template.train, profile.data.train_samples), footprint=footprint),
        personal=personal,
        personal_parameters=head_of(template.model) if personal.method == "head" else (),
        gate=template.gate if margin is None else replace(template.gate, margin=margin),
        budget=profile.budget,
        submodel=submodel,
        profile_round=profile.data.round,
        label_prior=label_prior(profile.data.class_counts, fleet),
    )
    return plan, word


def local_training(train: TrainPlan, rows: int) -> TrainPlan:
    """The training of a round for a device with so many rows: one with a batch or two goes through them again, up to
    `LOCAL_STEPS` steps. Bytes are dearer than its steps, which take it no longer than others.
    """
    steps = max(1, ceil(rows / train.batch_size))
    return replace(train, epochs=max(train.epochs, LOCAL_STEPS // steps)) if steps <= FEW_BATCHES else train


def choose_personal(data: DataProfile, fleet: FleetLabels, asked: PersonalPlan) -> tuple[PersonalPlan, str]:
    """How this device gets its personal model; the job may have fixed the method."""
    labels = sum(data.class_counts) or data.train_samples
    if data.train_samples == 0:
        method, word = "shared", "shared (no rows)"
    elif asked.method != AUTO:
        method, word = asked.method, asked.method
    elif labels < LITTLE_LABELS:
        method = "prior" if fleet.skewed else "ditto"
        word = f"{method} (little data)"
    elif label_skew(data.class_counts, fleet.counts) > STRONG_SKEW:
        method, word = "head", "head (strong skew)"
    else:
        method, word = "finetune", "finetune"
    return replace(asked, method=method), word


def label_skew(counts: Sequence[int], fleet: Sequence[int]) -> float:
    """Total variation distance between a device's labels and the fleet's: 0 equal, 1 disjoint; 0 without labels."""
    if not sum(counts) or not sum(fleet):
        return 0.0
    mine, all_ = np.asarray(counts, np.float64), np.asarray(fleet, np.float64)
    return float(np.abs(mine / mine.sum() - all_ / all_.sum()).sum() / 2)


def for_round(plan: Plan, *, seed: int, round_: int, base_version: int, rate_share: float = 1.0) -> Plan:
    """The plan of one round; its seed depends on the job's seed, the device and the round, on nothing else."""
    digest = hashlib.sha256(f"{seed}/{plan.device_id}/{round_}".encode()).digest()
    return replace(
        plan,
        seed=int.from_bytes(digest[:4], "little") >> 1,
        round=round_,
        base_version=base_version,
        train=replace(plan.train, learning_rate=plan.train.learning_rate * rate_share),
        submodel=rolled(plan.submodel, round_),
    )


def cooled(round_: int, rounds: int, cooldown: float) -> float:
    """The share of the learning rate in round 1 to `rounds`: 1, then over the last `cooldown` of them down to 1/20."""
    left = 1 - (round_ - 1) / rounds
    return min(1.0, 0.05 + left / cooldown) if cooldown > 0 else 1.0


def _form(profile: DataProfile) -> tuple[str, tuple[int, ...], int]:
    return profile.kind, profile.sample_shape, profile.outputs


def _words(form: tuple[str, tuple[int, ...], int]) -> str:
    return f"{form[0]} on samples of shape {list(form[1])} with {form[2]} outputs"


def _agreed(profiles: Sequence[DataProfile]) -> tuple[str, tuple[int, ...], int]:
    forms = Counter(_form(profile) for profile in sorted(profiles, key=lambda profile: profile.device_id))
    usual = forms.most_common(1)[0][0]
    others = sorted(profile.device_id for profile in profiles if _form(profile) != usual)
    if others:
        odd = next(form for form in forms if form != usual)
        names = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        raise PlanError(
            f"all devices must hold the same kind of data: {forms[usual]} have {_words(usual)}, but {names} "
            f"{_words(odd)}; mend or leave out those devices"
        )
    return usual


def _pooled(
    rows: NDArray[np.float64], means: NDArray[np.float64], variances: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and deviations [C] over all rows, from those of each device [devices, C]."""
    shares = rows / rows.sum()
    mean = shares @ means
    deviation = np.sqrt(shares @ (variances + (means - mean) ** 2))
    return mean, np.where(deviation > CONSTANT * np.maximum(np.abs(mean), CONSTANT), deviation, 1.0)
