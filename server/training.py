"""One round of training under way: replies are folded into the merge as they come, and committed together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from flwr.app import RecordDict

from fedtailor.protos.errors import RoundError
from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import Floats, schema_of
from fedtailor.protos.summary import RoundRow
from fedtailor.server.base import Base, next_base, stepped_base
from fedtailor.server.cohort import Cohort
from fedtailor.server.ensemble import said_by, taught
from fedtailor.server.job import Job
from fedtailor.server.orders import Answer, Orders
from fedtailor.server.peer import Peer, after_exchange
from fedtailor.server.roster import Roster
from fedtailor.server.rounds import Ask, Exchange
from fedtailor.server.rows import TrafficRow, UpdateRow
from fedtailor.strategies.codec.shared_only import shared_part
from fedtailor.strategies.ensemble import Teacher
from fedtailor.strategies.merge.aggregate import aggregate_of
from fedtailor.strategies.merge.optimizer import optimizer_of

TRAIN = "train"
DOWNLINK = 1  # sets the random numbers of the broadcast apart from those that draw the devices


class Gathering:
    """The answers that round `number` merges into `base`, folded as they come; `teacher`, where there is one, asks the
    models they say on its proxy rows.
    """

    def __init__(self, number: int, base: Base, job: Job, teacher: Teacher | None = None) -> None:
        self.number = number
        self.base = base
        self.answers: dict[str, Answer] = {}
        self._job = job
        self._teacher = teacher
        schema = schema_of(shared_part(base.state, job.local_parameters))
        self._replies = aggregate_of(job.aggregate, schema, max_norm=job.update_norm)

    def fold(self, answer: Answer, weight: float) -> None:
        """
        Raises:
            DecodeError: it cannot be merged; the sums are as before.
        """
        sender = f"device {answer.device_id}, round {answer.round}"
        said = self._asked(answer, sender)  # before any sum changes: its model may answer what is no number
        answer.decoded.fold_into(self._replies, weight, sender=sender)
        if self._teacher is not None and said is not None:
            self._teacher.fold(said, weight)
        only_figures = replace(answer.decoded, said=[], kept=None)
        self.answers[answer.device_id] = replace(answer, decoded=only_figures)

    def _asked(self, answer: Answer, sender: str) -> Floats | None:
        if self._teacher is None:
            return None
        return self._teacher.ask(said_by(self.base, answer.decoded), answer.submodel, sender=sender)

    def next_base(self, downlink: CodecSpec) -> Base:
        """The base that the answers lead to, its step written by `downlink`.

        Raises:
            RoundError: too few answers for what the aggregate promises. PlanError: it cannot combine their masks.
        """
        job, step = self._job, self._replies.mean(self._job.kappa)
        moved = stepped_base(self.base, step, optimizer_of(job.optimizer), job.local_parameters)
        if self._teacher is not None:
            moved = taught(moved, self._teacher, job, self.number)
        return next_base(moved, moved.state, self.number, downlink, (job.seed, self.number, DOWNLINK))

    def peers(self, known: Mapping[str, Peer], *, committed: bool) -> dict[str, Peer]:
        """`known` of those asked, and what the answers and whether they were committed tell of them."""
        told = dict(known)
        for device_id, answer in self.answers.items():
            peer = replace(known[device_id], masks=answer.decoded.known_masks)
            told[device_id] = replace(peer, acknowledged_round=answer.round) if committed else peer
        return told

    def outcome(self, found: Exchange, *, asked: int, committed: bool, seconds: float) -> RoundRow:
        """The round in figures."""
        replies = [self.answers[device_id].reply for device_id in sorted(self.answers)]
        return RoundRow(
            round=self.number,
            base_version=self.base.version,
            committed=committed,
            asked=asked,
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
                base_version=answer.base_version,
                num_examples=answer.reply.update.num_examples,
                base_validation_score=answer.reply.base_validation_score,
                train_loss=answer.reply.train_loss,
                train_cpu_s=answer.reply.train_cpu_s,
            )
            for device_id, answer in sorted(self.answers.items())
        ]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Closed:
    """A round that is over: what is to be recorded of it. base: the one it committed, None: abandoned; updates: those
    merged into it; peers: what is known of the devices it heard of.
    """

    outcome: RoundRow
    base: Base | None
    updates: Sequence[UpdateRow]
    peers: Mapping[str, Peer]


class TrainingRound:
    """Round `number` from `base`; `cohort` is whom it asks, `peers` what is known of devices so far. `teacher` is of
    this round alone.
    """

    def __init__(
        self,
        number: int,
        base: Base,
        job: Job,
        cohort: Cohort,
        peers: Mapping[str, Peer],
        *,
        teacher: Teacher | None = None,
    ) -> None:
        self.number = number
        self.cohort = cohort
        self._job = job
        self._orders = Orders(number, base, job, cohort, peers)
        self._gathering = Gathering(number, base, job, teacher)

    def asks(self, roster: Roster) -> Iterator[Ask]:
        """One message per device."""
        return self._orders.asks(roster)

    def receive(self, roster: Roster, device_id: str, content: RecordDict) -> None:
        """Fold one device's update.

        Raises:
            DecodeError: anything about the reply is not what was asked for; the sums are as before.
        """
        answer = self._orders.read(roster, device_id, content)
        self._gathering.fold(answer, answer.weight)

    def close(self, found: Exchange, seconds: float, downlink: CodecSpec) -> Closed:
        """What the round came to; it is abandoned where too few devices answered."""
        gathering, base = self._gathering, self._next_base(found, downlink)
        committed = base is not None
        known = self._orders.peers | after_exchange(self._orders.peers, found, gathering.base.version)
        return Closed(
            outcome=gathering.outcome(found, asked=len(self.cohort.plans), committed=committed, seconds=seconds),
            base=base,
            updates=gathering.update_rows() if committed else [],
            peers=gathering.peers(known, committed=committed),
        )

    def _next_base(self, found: Exchange, downlink: CodecSpec) -> Base | None:
        wanted = self.cohort.wanted
        if not 0 < len(self._gathering.answers) >= self._job.minimum_fraction * wanted:
            found.note(None, _abandoned(found, wanted, self._job))
            return None
        try:
            return self._gathering.next_base(downlink)
        except RoundError as error:
            found.note(None, f"abandoned: {error}; the base is as before")
            return None


def traffic_rows(found: Exchange, stage: str, round_: int) -> list[TrafficRow]:
    """The bytes and seconds of one exchange, for the registry."""
    return [
        TrafficRow(
            device_id=device_id,
            stage=stage,
            round=round_,
            answered=traffic.answered,
            uplink_bytes=traffic.uplink_bytes,
            downlink_bytes=traffic.downlink_bytes,
            seconds=traffic.seconds,
        )
        for device_id, traffic in found.traffic.items()
    ]


def _abandoned(found: Exchange, wanted: int, job: Job) -> str:
    if not found.traffic and job.tags:
        return f"abandoned: no device present with rows to train on has one of the tags {', '.join(job.tags)}"
    return (
        f"abandoned: {len(found.answered)} of {len(found.traffic)} devices answered, "
        f"at least {job.minimum_fraction:.0%} of {wanted} are needed; the base is as before"
    )


def _mean(weighted: Sequence[tuple[float, int]]) -> float | None:
    total = sum(weight for _, weight in weighted)
    return sum(value * weight for value, weight in weighted) / total if total > 0 else None
