"""One round of training under way: replies are folded into the merge as they come, and committed together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from flwr.app import RecordDict

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.messages import Instruction, TrainReply
from fedtailor.protos.plan import Plan
from fedtailor.protos.schema import schema_of
from fedtailor.protos.summary import RoundRow
from fedtailor.server.base import Base, next_base
from fedtailor.server.content import check_finite, content_of, read_reply
from fedtailor.server.job import Job
from fedtailor.server.peer import NEW, Peer, after_exchange
from fedtailor.server.roster import Roster
from fedtailor.server.rounds import Ask, Exchange
from fedtailor.server.rows import TrafficRow, UpdateRow
from fedtailor.strategies.codec.envelope import Address, decode_update
from fedtailor.strategies.codec.public_base import shared_context
from fedtailor.strategies.codec.shared_only import shared_part, whole
from fedtailor.strategies.merge import Merge
from fedtailor.strategies.plan import cooled, for_round

TRAIN = "train"
DOWNLINK = 1  # sets the random numbers of the broadcast apart from those that draw the devices


def sample(present: Sequence[str], job: Job, round_: int) -> list[str]:
    """The devices asked in this round, drawn from sorted ids by the job's seed and the round alone."""
    count = min(len(present), max(1, round(job.fraction * len(present))))
    rng = np.random.default_rng((job.seed, round_))
    return sorted(rng.choice(np.array(sorted(present), dtype=object), count, replace=False).tolist()) if present else []


class TrainingRound:
    """Round `number` from `base`; `plans` are those of the devices asked, `peers` what is known of them so far."""

    def __init__(self, number: int, base: Base, job: Job, plans: Mapping[str, Plan], peers: Mapping[str, Peer]) -> None:
        self.number = number
        self.base = base
        self._job = job
        self._shared = shared_part(base.state, job.local_parameters)
        self._context = shared_context(base.public.context, job.local_parameters)
        self._merge = Merge(schema_of(self._shared), max_norm=job.update_norm)
        share = cooled(number, job.rounds, job.cooldown)
        lean = {device_id: replace(plan, recipes=()) for device_id, plan in plans.items()}  # for tailoring only
        self._plans = {
            device_id: for_round(plan, seed=job.seed, round_=number, base_version=base.version, rate_share=share)
            for device_id, plan in lean.items()
        }
        self._peers = {device_id: peers.get(device_id, NEW) for device_id in plans}
        self._replies: dict[str, TrainReply] = {}

    def asks(self, roster: Roster) -> Iterator[Ask]:
        """One message per device, with its own way to the base."""
        for device_id, plan in self._plans.items():
            peer = self._peers[device_id]
            order = Instruction(
                plan=plan,
                base=self.base.ring.broadcast(peer.held_version),
                acknowledged_round=peer.acknowledged_round,
            )
            yield Ask(device_id, roster.nodes[device_id], content_of(instruction=order))

    def receive(self, roster: Roster, device_id: str, content: RecordDict) -> None:
        """Fold one device's update.

        Raises:
            DecodeError: anything about the reply is not what was asked for; the sums are as before.
        """
        sender = f"device {device_id}, round {self.number}"
        reply = read_reply(content, "train", TrainReply, sender=sender)
        check_finite(reply, sender=sender)
        update, peer = reply.update, self._peers[device_id]
        decoded = decode_update(update, self._context, expected=self._address(device_id), known_masks=peer.masks)
        if update.num_examples > (most := roster.rows(device_id)):
            raise DecodeError(f"{sender}: it counts {update.num_examples} examples, its profile has {most}; skipped")
        self._merge.fold(decoded.deltas, float(update.num_examples), sender=sender, masks=decoded.masks)
        self._peers[device_id] = replace(peer, masks=decoded.known_masks)
        self._replies[device_id] = replace(reply, update=replace(update, payload=b""))  # folded: only figures stay

    def next_base(self) -> Base | None:
        """The base this round leads to; None where too few devices answered: the round is abandoned."""
        if not self._replies or len(self._replies) < self._job.minimum_fraction * len(self._plans):
            return None
        shared = self._merge.commit(
            self._shared,
            learning_rate=self._job.server_learning_rate,
            kappa=self._job.kappa,
            momentum=self._job.server_momentum,
            previous=self.base.previous,
        )
        state = whole(shared, self.base.state)
        return next_base(self.base, state, self.number, self._job.downlink, (self._job.seed, self.number, DOWNLINK))

    def peers(self, found: Exchange, *, committed: bool) -> dict[str, Peer]:
        """What is known of those asked, once the round is over."""
        known = self._peers | after_exchange(self._peers, found, self.base.version)
        return {
            device_id: replace(peer, acknowledged_round=self.number)
            if committed and device_id in self._replies
            else peer
            for device_id, peer in known.items()
        }

    def _address(self, device_id: str) -> Address:
        return Address(
            device_id=device_id,
            round=self.number,
            base_version=self.base.version,
            context_version=self.base.public.context_version,
            codec=self._plans[device_id].codec,
        )

    def outcome(self, found: Exchange, *, committed: bool, seconds: float) -> RoundRow:
        """The round in figures."""
        replies = [self._replies[device_id] for device_id in sorted(self._replies)]
        return RoundRow(
            round=self.number,
            base_version=self.base.version,
            committed=committed,
            asked=len(self._plans),
            answered=len(replies),
            base_validation_score=_mean([(r.base_validation_score, r.validation_rows) for r in replies]),
            train_loss=_mean([(r.train_loss, r.update.num_examples) for r in replies]),
            uplink_bytes=sum(traffic.uplink_bytes for traffic in found.traffic.values()),
            downlink_bytes=sum(traffic.downlink_bytes for traffic in found.traffic.values()),
            seconds=seconds,
            problems=tuple(problem.line for problem in found.problems),
        )

    def update_rows(self) -> list[UpdateRow]:
        """What the round merged, for the registry."""
        return [
            UpdateRow(
                device_id=device_id,
                round=self.number,
                base_version=self.base.version,
                num_examples=reply.update.num_examples,
                base_validation_score=reply.base_validation_score,
                train_loss=reply.train_loss,
                train_cpu_s=reply.train_cpu_s,
            )
            for device_id, reply in sorted(self._replies.items())
        ]


def traffic_rows(found: Exchange, stage: str, round_: int) -> list[TrafficRow]:
    """The bytes of one exchange, for the registry."""
    return [
        TrafficRow(
            device_id=device_id,
            stage=stage,
            round=round_,
            answered=traffic.answered,
            uplink_bytes=traffic.uplink_bytes,
            downlink_bytes=traffic.downlink_bytes,
        )
        for device_id, traffic in found.traffic.items()
    ]


def _mean(weighted: Sequence[tuple[float, int]]) -> float | None:
    total = sum(weight for _, weight in weighted)
    return sum(value * weight for value, weight in weighted) / total if total > 0 else None
