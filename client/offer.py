"""After the last round: the device makes its personal model, tries its ladder, and tells what it found.

The artefacts stay here until the fleet's evidence has been heard; only figures leave.
"""

import time

from fedtailor.client.device import Device
from fedtailor.client.held_base import receive_base
from fedtailor.client.personalise import personalise
from fedtailor.client.tailor import tailor
from fedtailor.protos.messages import Instruction, TailorReply
from fedtailor.protos.net import Net
from fedtailor.protos.plan import Plan
from fedtailor.protos.schema import State
from fedtailor.protos.variant import Ladder
from fedtailor.protos.wire import to_bytes
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.model import build, load_state

LADDER = "ladder"


def offer_variants(device: Device, instruction: Instruction) -> TailorReply:
    """Personalise, tailor, keep every artefact and the ladder in the device's store."""
    began = time.thread_time()
    plan = instruction.plan
    personal = personalise(receive_base(device.store, instruction).state, device.data, plan)
    tailored = tailor(as_net(personal.state, plan), device.data, plan, device.hardware(), store=device.store)
    for tried in (tailored.reference, *tailored.rungs):
        device.store.put_artifact(tried.payload)
    ladder = Ladder(
        device_id=device.device_id,
        round=plan.round,
        base_version=instruction.base.base_version,
        base_hash=instruction.base.base_hash,
        personal_method=personal.method,
        base_validation_score=personal.base_validation_score,
        personal_validation_score=personal.validation_score,
        reference=tailored.reference.rung,
        rungs=tuple(tried.rung for tried in tailored.rungs),
    )
    device.store.put(LADDER, to_bytes(ladder))
    return TailorReply(ladder=ladder, tailor_cpu_s=time.thread_time() - began, problems=tailored.problems)


def as_net(state: State, plan: Plan) -> Net:
    """A state of the plan's model, as the chain of layers that tailoring and export work on."""
    module = build(plan.model)
    load_state(module, state)
    return trace(module, plan.model)
