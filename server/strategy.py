# ruff: noqa: ARG002 - the signatures are Flower's
"""The one adapter to Flower's `Strategy`: the coordinator's pieces, driven by Flower's own loop."""

from collections.abc import Iterable, Iterator
from logging import getLogger

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedtailor.protos.schema import State
from fedtailor.server.choice import cohort_of
from fedtailor.server.commit import close_round
from fedtailor.server.rounds import Arrival, Call, Exchange, Traffic, accept, wire_bytes
from fedtailor.server.run import Run, join
from fedtailor.server.training import TRAIN, TrainingRound

log = getLogger("flwr")  # Flower's own, whose lines these stand among


class TailorStrategy(Strategy):
    """Trains the base of `run` (from `start`); give `initial_arrays()` to Flower's `start`.

    Every round is committed to the run's registry as `run_job` does it; for equal jobs the base is the same bits.
    Variants are tailored and judged afterwards, by the coordinator's `tailor` and `evaluate`: Flower's evaluation
    after every round would touch the test split more than once, so there is none. Flower's loop waits for all that are
    asked: with over-selection nobody is late, all who answer are merged, and a buffered job trains in rounds too.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._under_way: TrainingRound | None = None
        self._found = Exchange()
        self._began = 0.0

    def initial_arrays(self) -> ArrayRecord:
        return _arrays(self._run.base.state)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message a device, from `arrays`; `config` is not used: the plan says how to train.

        Raises:
            ValueError: `arrays` are not those of the run's base, which is what the devices get.
        """
        run = self._run
        self._began = run.clock.now()
        join(run, server_round)
        state = {name: arrays[name].numpy() for name in run.base.state}
        if not _equal(state, run.base.state):
            raise ValueError(
                f"configure_train: the arrays are not base {run.base.version}; begin with initial_arrays()"
            )
        cohort = cohort_of(run, server_round)
        teacher, self._found = run.teacher(), Exchange()
        self._under_way = TrainingRound(server_round, run.base, run.job, cohort, run.peers, teacher=teacher)
        return list(self._messages(self._under_way))

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Fold the replies and commit the round; None for the arrays where it was abandoned."""
        run, under_way = self._run, self._under_way
        if under_way is None or under_way.number != server_round:
            raise ValueError(f"aggregate_train: round {server_round} was not configured")
        devices = {run.roster.nodes[device_id]: device_id for device_id in self._found.traffic}
        call = Call(message_type=TRAIN, round=server_round, deadline_s=run.job.deadline_s)
        for reply in replies:
            device_id = devices.pop(reply.metadata.src_node_id, None)
            if device_id is None:
                self._found.note(None, f"node {reply.metadata.src_node_id}: answered what nobody waits for; ignored")
            else:
                arrival = Arrival(device_id, reply)
                accept(arrival, call, lambda *it: under_way.receive(run.roster, *it), self._found)
        for device_id in devices.values():
            self._found.note(device_id, f"device {device_id}, {TRAIN}: no answer")
        closed = under_way.close(self._found, run.clock.now() - self._began, run.downlink)
        outcome = close_round(run, closed, self._found)
        metrics = {"train_loss": outcome.train_loss, "base_validation_score": outcome.base_validation_score}
        record = MetricRecord({name: value for name, value in metrics.items() if value is not None})
        return (_arrays(run.base.state) if outcome.committed else None), record

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Nobody is asked."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Nothing to add up."""
        return None

    def summary(self) -> None:
        """Log what is going to happen."""
        job = self._run.job
        log.info("\t├──> fraction %.2f, at least %.2f of it", job.fraction, job.minimum_fraction)
        log.info("\t└──> codec %s v%d, feedback %s", job.codec.name, job.codec.version, job.feedback)

    def _messages(self, under_way: TrainingRound) -> Iterator[Message]:
        for ask in under_way.asks(self._run.roster):
            self._found.traffic[ask.device_id] = Traffic(downlink_bytes=wire_bytes(ask.content))
            yield Message(ask.content, ask.node_id, TRAIN, group_id=str(under_way.number))


def _arrays(state: State) -> ArrayRecord:
    return ArrayRecord({name: Array(value) for name, value in state.items()})


def _equal(one: State, other: State) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in other)
