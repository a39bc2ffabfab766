"""A federation without Flower: the rounds of a course, every byte counted.

Codec, envelope, error feedback, merge and public base are those of the product, as the job sets them. How a device
trains in its turn, and which tensors never leave it, is the learner's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fedtailor.client.learn import coordinates_sent
from fedtailor.client.train import score_state
from fedtailor.client.train_part import train_part
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import CodecSpec, Plan
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.protos.schema import Floats, State, schema_of
from fedtailor.protos.wire import to_bytes
from fedtailor.server.base import first_base, next_base, stepped_base
from fedtailor.server.ensemble import said_by, taught
from fedtailor.simulations.course import Course
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.envelope import Address, Decoded, decode_update, encode_update
from fedtailor.strategies.codec.feedback import Pending, acknowledged_mask, ahead, await_fate, carry, masked, settle
from fedtailor.strategies.codec.profile import Uplink
from fedtailor.strategies.codec.public_base import PublicBase
from fedtailor.strategies.codec.sent_mask import NO_MASKS, KnownMasks, SentMask
from fedtailor.strategies.codec.shared_only import shared_part, whole
from fedtailor.strategies.merge.aggregate import aggregate_of
from fedtailor.strategies.merge.optimizer import optimizer_of
from fedtailor.strategies.models.model import initial_state

RAW = CodecSpec(name="fp32", version=1)

Kept = Mapping[str, State]  # what a device keeps between its turns, by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How updates are written, None: as the adaptive profile says for the course; and how the base's own steps are."""

    name: str
    uplink: Uplink | None
    downlink: CodecSpec = RAW


@dataclass(frozen=True, eq=False, kw_only=True)
class Turn:
    """One device's part in a round. `start`: the whole model; tensors that never leave a device as they began.

    `kept` is what its turn before left; empty the first time.
    """

    start: State
    data: DeviceData
    plan: Plan
    kept: Kept


@dataclass(frozen=True, eq=False)
class Taken:
    """What a turn leads to: a whole model, of which the shared part is sent, and what stays on the device."""

    state: State
    kept: Kept = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Learner:
    """How devices train. `local` names the tensors of a model that never leave them."""

    turn: Callable[[Turn], Taken]
    local: Callable[[ModelSpec], tuple[str, ...]] = lambda _: ()


def train_all(turn: Turn) -> Taken:
    """As the plan says (FedAvg, McMahan et al. 2017, arXiv:1602.05629, algorithm 1)."""
    return Taken(train_part(turn.start, turn.data.train, turn.plan).state)


PLAIN = Learner(turn=train_all)


@dataclass(slots=True)
class _Memory:
    """What a device keeps: its residual, which public base it holds (None: none yet), and what its learner left; and
    the masks of submodels that the server knows of it.
    """

    pending: Pending | None = None
    held: int | None = None
    kept: Kept = field(default_factory=dict)
    masks: KnownMasks = NO_MASKS


@dataclass(frozen=True, eq=False)
class Sent:
    """One device's part in a round: what was to be said, in which context, and what the server read of it."""

    total: list[Floats]
    context: Context
    decoded: Decoded
    num_examples: int


COUNTED_EVERY = 8  # rounds; to find the cheapest way down for every device costs more than to train it


class Federation:
    """The server's bases and every device's memory. Bytes are those of messages so far, envelopes included.

    uplink_bytes: of every update. Of every `counted_every`th round and the last, downlink_bytes: what brought each
    device asked to the public base, whatever it had missed; broadcast_bytes: what would bring one to the next that had
    missed nothing.
    """

    def __init__(
        self, course: Course, wire: Wire, learner: Learner = PLAIN, *, counted_every: int = COUNTED_EVERY
    ) -> None:
        self._course = course
        self._wire = wire
        self._learner = learner
        self._counted_every = counted_every
        self._first = initial_state(course.template.model, course.job.seed)
        self._base = first_base(shared_part(self._first, learner.local(course.template.model)))
        self._memories = {name: _Memory() for name in course.trainable}
        self.schema = schema_of(self._base.state)
        self._uplink = wire.uplink or course.uplink(self.schema.size)
        self.uplink_bytes: list[int] = []
        self.downlink_bytes: list[int] = []
        self.broadcast_bytes: list[int] = []

    @property
    def public(self) -> PublicBase:
        """What devices train from; its version is the number of rounds so far."""
        return self._base.public

    @property
    def state(self) -> State:
        """The public base as a whole model; tensors that never leave a device as they began."""
        return whole(self.public.state, self._first)

    @property
    def kept(self) -> dict[str, Kept]:
        """What each device that had a turn keeps."""
        return {name: memory.kept for name, memory in self._memories.items() if memory.held is not None}

    def score(self, rows: Samples) -> float:
        """Of the public base."""
        return score_state(self.state, self._course.template.model, rows)

    def round(self) -> list[Sent]:
        """The devices asked train from the public base; what they say moves the private one, then the public one.

        Where the job asks their ensemble, no tensor may stay with the devices.
        """
        job, base = self._course.job, self._base
        number = base.version + 1
        replies = aggregate_of(job.aggregate, self.schema, max_norm=job.update_norm)
        plans, teacher = self._course.plans(number), self._course.teacher()
        sent = [self._send(name, plan) for name, plan in plans.items()]
        for each, plan in zip(sent, plans.values(), strict=True):
            each.decoded.fold_into(replies, float(each.num_examples), sender=self._wire.name)
            if teacher is not None:
                said = teacher.ask(said_by(base, each.decoded), plan.submodel, sender=self._wire.name)
                teacher.fold(said, float(each.num_examples))
        moved = stepped_base(base, replies.mean(job.kappa), optimizer_of(job.optimizer), ())
        moved = moved if teacher is None else taught(moved, teacher, job, number)
        self._base = next_base(moved, moved.state, number, self._wire.downlink, (job.seed, number))
        if self._counts(number):
            self.broadcast_bytes.append(len(to_bytes(self._base.ring.broadcast(base.version))))
        return sent

    def _send(self, name: str, plan: Plan) -> Sent:
        uplink, memory, data = self._uplink, self._memories[name], self._course.devices[name]
        if self._counts(plan.round):
            self.downlink_bytes.append(len(to_bytes(self._base.ring.broadcast(memory.held))))
        memory.held = self.public.version
        acknowledged = memory.pending.round if memory.pending else 0  # nothing is lost on this wire
        kept = coordinates_sent(plan, self.schema.names)
        mask = None if kept is None else SentMask(kept, acknowledged_mask(memory.pending, acknowledged))
        carried = masked(settle(memory.pending, plan.round, acknowledged, self.schema), kept)
        start = whole(ahead(self.public.state, carried, uplink.step_ahead), self._first)
        taken = self._learner.turn(Turn(start=start, data=data, plan=plan, kept=memory.kept))
        memory.kept = taken.kept
        total = carry([taken.state[layer] - start[layer] for layer in self.schema.names], carried)
        address = Address(
            device_id=name,
            round=plan.round,
            base_version=self.public.version,
            context_version=self.public.context_version,
            codec=uplink.codec,
        )
        rng, context = np.random.default_rng(plan.seed), self.public.context
        update = encode_update(total, context, address, num_examples=len(data.train), rng=rng, mask=mask)
        decoded = decode_update(update, context, expected=address, known_masks=memory.masks)
        memory.masks = decoded.known_masks
        if uplink.feedback:
            memory.pending = await_fate(plan.round, carried, total, decoded.deltas, kept=kept)
        self.uplink_bytes.append(len(to_bytes(update)))
        return Sent(total, context, decoded, len(data.train))

    def _counts(self, number: int) -> bool:
        return number % self._counted_every == 0 or number == self._course.job.rounds
