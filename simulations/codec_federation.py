"""A federation without Flower: one method's rounds over a course, every byte counted.

Training, codec, envelope, error feedback, merge and public base are those of the product, as the job sets them.
"""

from dataclasses import dataclass

import numpy as np

from fedtailor.client.train import score_state, train
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import Samples
from fedtailor.protos.schema import Floats, schema_of
from fedtailor.protos.wire import to_bytes
from fedtailor.server.base import first_base, next_base
from fedtailor.simulations.codec_course import Course
from fedtailor.simulations.codec_methods import Method
from fedtailor.strategies.codec.context import Context
from fedtailor.strategies.codec.envelope import Address, decode_update, encode_update
from fedtailor.strategies.codec.feedback import Pending, ahead, await_fate, carry, settle
from fedtailor.strategies.codec.public_base import PublicBase
from fedtailor.strategies.merge import Merge
from fedtailor.strategies.models.model import initial_state


@dataclass(slots=True)
class _Memory:
    """What one device keeps between its rounds: its residual, and which public base it holds; None: none yet."""

    pending: Pending | None = None
    held: int | None = None


@dataclass(frozen=True, eq=False)
class Sent:
    """One device's part in a round: what was to be said, in which context, and what the server read of it."""

    total: list[Floats]
    context: Context
    deltas: list[Floats]
    num_examples: int


COUNTED_EVERY = 8  # rounds; to find the cheapest way down for every device costs more than to train it


class Federation:
    """The server's bases and every device's memory. Bytes are those of messages so far, envelopes included.

    uplink_bytes: of every update. Of every eighth round and the last, downlink_bytes: what brought each device asked to
    the public base, whatever it had missed; broadcast_bytes: what would bring one to the next that had missed nothing.
    """

    def __init__(self, course: Course, method: Method) -> None:
        self._course = course
        self._method = method
        self._base = first_base(initial_state(course.template.model, course.job.seed))
        self._memories = {name: _Memory() for name in course.trainable}
        self.schema = schema_of(self._base.state)
        self._uplink = method.uplink or course.profile(self.schema.size)
        self.uplink_bytes: list[int] = []
        self.downlink_bytes: list[int] = []
        self.broadcast_bytes: list[int] = []

    @property
    def public(self) -> PublicBase:
        """What devices train from; its version is the number of rounds so far."""
        return self._base.public

    def score(self, rows: Samples) -> float:
        """Of the public base."""
        return score_state(self.public.state, self._course.template.model, rows)

    def round(self) -> list[Sent]:
        """The devices asked train from the public base; what they say moves the private one, then the public one."""
        job, base = self._course.job, self._base
        number = base.version + 1
        merge = Merge(self.schema, max_norm=job.update_norm)
        sent = [self._send(name, plan) for name, plan in self._course.plans(number).items()]
        for each in sent:
            merge.fold(each.deltas, float(each.num_examples), sender=self._method.name)
        merged = merge.commit(
            base.state,
            learning_rate=job.server_learning_rate,
            kappa=job.kappa,
            momentum=job.server_momentum,
            previous=base.previous,
        )
        self._base = next_base(base, merged, number, self._method.downlink, (job.seed, number))
        if self._counts(number):
            self.broadcast_bytes.append(len(to_bytes(self._base.ring.broadcast(base.version))))
        return sent

    def _send(self, name: str, plan: Plan) -> Sent:
        uplink, memory, rows = self._uplink, self._memories[name], self._course.devices[name].train
        if self._counts(plan.round):
            self.downlink_bytes.append(len(to_bytes(self._base.ring.broadcast(memory.held))))
        memory.held = self.public.version
        acknowledged = memory.pending.round if memory.pending else 0  # nothing is lost on this wire
        carried = settle(memory.pending, plan.round, acknowledged, self.schema)
        start = ahead(self.public.state, carried, uplink.step_ahead)
        trained = train(start, rows, plan.model, plan.train, seed=plan.seed).state
        total = carry([trained[layer] - start[layer] for layer in self.schema.names], carried)
        address = Address(
            device_id=name,
            round=plan.round,
            base_version=self.public.version,
            context_version=self.public.context_version,
            codec=uplink.codec,
        )
        rng, context = np.random.default_rng(plan.seed), self.public.context
        update = encode_update(total, context, address, num_examples=len(rows), rng=rng)
        deltas = decode_update(update, context, expected=address).deltas
        if uplink.feedback:
            memory.pending = await_fate(plan.round, carried, total, deltas)
        self.uplink_bytes.append(len(to_bytes(update)))
        return Sent(total, context, deltas, len(rows))

    def _counts(self, number: int) -> bool:
        return number % COUNTED_EVERY == 0 or number == self._course.job.rounds
