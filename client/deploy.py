"""What this device runs from now on, and how it does on rows that nothing was chosen by."""

from logging import getLogger

from fedtailor.client.choose import choose
from fedtailor.client.device import Device
from fedtailor.client.export import to_onnx
from fedtailor.client.held_base import receive_base
from fedtailor.client.offer import LADDER, as_net
from fedtailor.client.personalise import SHARED
from fedtailor.client.ready import ready_model
from fedtailor.client.recall import recall
from fedtailor.client.runtime import open_session, predict
from fedtailor.client.tailor import reference_of
from fedtailor.protos.errors import DecodeError, StoreError
from fedtailor.protos.messages import EvaluateReply, Instruction, Scores
from fedtailor.protos.net import Net
from fedtailor.protos.samples import Samples
from fedtailor.protos.schema import State
from fedtailor.protos.variant import Ladder, Rung, Variant
from fedtailor.protos.wire import from_bytes, to_bytes
from fedtailor.strategies.payload.payload import unpack
from fedtailor.strategies.task import TASKS, Task

VARIANT = "variant"
log = getLogger(__name__)


def deploy(device: Device, instruction: Instruction) -> EvaluateReply:
    """Put the best rung that may run in place, and score base, personal model and variant on the test split.

    The variant's file is made ready for this machine's runtime. A rung whose artefact is damaged gives way to the next
    best. A device without a whole ladder from this base (it missed the tailoring, has no rows to tailor with, or lost
    its personal model) runs the fp32 base. The variant's reason says so.

    Raises:
        StoreError: the store cannot be written; what ran before stays in place.
        DecodeError: the base is not one this device can have; `receive_base`.
    """
    base = receive_base(device.store, instruction).state
    ladder, why_not = _ladder(device, instruction)
    if ladder is None:
        ladder = _bare_ladder(device, instruction, base)
    damaged = tuple(rung.recipe for rung in ladder.rungs if not _whole(device, rung))
    rung, reason = choose(ladder, instruction.withdrawn, damaged)
    payload = device.store.get_artifact(rung.payload_sha256)
    artifact = device.store.put_artifact(to_onnx(unpack(payload)))
    variant = Variant(
        device_id=device.device_id,
        base_version=ladder.base_version,
        base_hash=ladder.base_hash,
        personal_method=ladder.personal_method,
        rung=rung,
        artifact_sha256=artifact,
        parent=_parent(device, artifact),
        reason=why_not or reason,
    )
    scores = _scores(device, as_net(base, instruction.plan), ladder.reference, ready_model(device.store, artifact))
    device.store.put(VARIANT, to_bytes(variant))
    return EvaluateReply(scores=scores, variant=variant, payload=payload)


def _ladder(device: Device, instruction: Instruction) -> tuple[Ladder | None, str]:
    """The ladder that this device may climb; else why it has none."""
    try:
        kept = device.store.get(LADDER)
        if kept is None:
            return None, "the fp32 base: this device made no ladder"
        ladder = from_bytes(Ladder, kept, sender="own store")
    except (StoreError, DecodeError) as error:
        return None, f"the fp32 base: the ladder kept here cannot be read ({error})"
    if ladder.base_hash != instruction.base.base_hash:
        return None, f"the fp32 base: the ladder kept here is of base {ladder.base_version}"
    if not _whole(device, ladder.reference):
        return None, "the fp32 base: the personal model kept here is damaged"
    return ladder, ""


def _whole(device: Device, rung: Rung) -> bool:
    try:
        device.store.get_artifact(rung.payload_sha256)
    except StoreError as error:
        log.warning("recipe %s: %s", rung.recipe, error)
        return False
    return True


def _parent(device: Device, artifact: str) -> str | None:
    """The artefact that `artifact` replaces; asked to deploy the same once more, the one before it."""
    before = recall(device.store, VARIANT, lambda kept: from_bytes(Variant, kept, sender="own store"))
    if before is None:
        return None
    return before.parent if before.artifact_sha256 == artifact else before.artifact_sha256


def _bare_ladder(device: Device, instruction: Instruction, base: State) -> Ladder:
    """The base itself, measured."""
    net = as_net(base, instruction.plan)
    reference = reference_of(net, device.data, instruction.plan, device.hardware())
    device.store.put_artifact(reference.payload)
    score = reference.rung.validation_score
    return Ladder(
        device_id=device.device_id,
        round=instruction.plan.round,
        base_version=instruction.base.base_version,
        base_hash=instruction.base.base_hash,
        personal_method=SHARED,
        base_validation_score=score,
        personal_validation_score=score,
        reference=reference.rung,
        rungs=(),
    )


def _scores(device: Device, base: Net, personal: Rung, variant: bytes) -> Scores:
    task, test = TASKS[device.data.kind], device.data.test
    reference = to_onnx(unpack(device.store.get_artifact(personal.payload_sha256)))
    return Scores(
        metric=task.metric,
        better=task.better,
        rows=len(test),
        base=_score(task, to_onnx(base), test),
        personal=_score(task, reference, test),
        variant=_score(task, variant, test),
    )


def _score(task: Task, model: bytes, test: Samples) -> float:
    if len(test) == 0:
        return 0.0
    return task.score(predict(open_session(model), test.x), test.y)
