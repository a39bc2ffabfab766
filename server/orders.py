"""What one round asks of each device, and how its answer is read, whenever it comes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from flwr.app import RecordDict

from fedtailor.protos.messages import Instruction, TrainReply
from fedtailor.protos.plan import Submodel
from fedtailor.server.base import Base
from fedtailor.server.cohort import Cohort
from fedtailor.server.content import check_finite, content_of, read_reply
from fedtailor.server.job import Job
from fedtailor.server.peer import NEW, Peer
from fedtailor.server.roster import Roster
from fedtailor.server.rounds import Ask
from fedtailor.strategies.choice.weight import weight_of
from fedtailor.strategies.codec.envelope import Address, Decoded, decode_update
from fedtailor.strategies.codec.public_base import shared_context
from fedtailor.strategies.plan import cooled, for_round


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Answer:
    """One device's reply to the orders of `round`, read: its figures (`reply`, without the payload), what it says of
    the base it trained from, what that weighs in the merge, and which part of the model it trained; None: the whole.
    """

    device_id: str
    round: int
    base_version: int
    reply: TrainReply
    decoded: Decoded
    weight: float
    submodel: Submodel | None


class Orders:
    """Those of round `number` from `base`; `cohort` is whom it asks, `peers` what is known of devices so far."""

    def __init__(self, number: int, base: Base, job: Job, cohort: Cohort, peers: Mapping[str, Peer]) -> None:
        self.number = number
        self.base = base
        self.cohort = cohort
        self.peers = {device_id: peers.get(device_id, NEW) for device_id in cohort.plans}
        self._context = shared_context(base.public.context, job.local_parameters)
        share = cooled(number, job.rounds, job.cooldown)
        lean = {device_id: replace(plan, recipes=()) for device_id, plan in cohort.plans.items()}  # tailoring only
        self._plans = {
            device_id: for_round(plan, seed=job.seed, round_=number, base_version=base.version, rate_share=share)
            for device_id, plan in lean.items()
        }

    def asks(self, roster: Roster) -> Iterator[Ask]:
        """One message per device, with its own way to the base."""
        for device_id, plan in self._plans.items():
            peer = self.peers[device_id]
            order = Instruction(
                plan=plan,
                base=self.base.ring.broadcast(peer.held_version),
                acknowledged_round=peer.acknowledged_round,
            )
            yield Ask(device_id, roster.nodes[device_id], content_of(instruction=order))

    def read(self, roster: Roster, device_id: str, content: RecordDict) -> Answer:
        """One device's update, decoded in the context of the base it was asked to train from.

        Raises:
            DecodeError: anything about the reply is not what was asked for.
        """
        sender = f"device {device_id}, round {self.number}"
        reply = read_reply(content, "train", TrainReply, sender=sender)
        check_finite(reply, sender=sender)
        update, masks = reply.update, self.peers[device_id].masks
        decoded = decode_update(update, self._context, expected=self._address(device_id), known_masks=masks)
        examples = min(update.num_examples, roster.rows(device_id))  # it may have gained rows since its profile
        return Answer(
            device_id=device_id,
            round=self.number,
            base_version=self.base.version,
            reply=replace(reply, update=replace(update, payload=b"")),
            decoded=decoded,
            weight=weight_of(examples, self.cohort.inclusion[device_id]),
            submodel=self._plans[device_id].submodel,
        )

    def _address(self, device_id: str) -> Address:
        return Address(
            device_id=device_id,
            round=self.number,
            base_version=self.base.version,
            context_version=self.base.public.context_version,
            codec=self._plans[device_id].codec,
        )
