"""Training without rounds: a commit after every so many updates, while other devices still train on older bases.

Source: Nguyen et al. 2022, arXiv:2106.06639 (FedBuff), algorithm 1 and section 5 (an update s commits behind counts
1 / sqrt(1 + s) as much). Fraboni et al. 2022, arXiv:2206.10189: training leads to what all devices want, rather than
the fast ones, only where an update counts the more, the more seldom its device is merged; here, by the inverse of the
share of commits that merged one of its device.
"""

from collections import deque
from collections.abc import Sequence
from math import sqrt

from flwr.app import RecordDict

from fedtailor.protos.errors import DecodeError, RoundError
from fedtailor.protos.summary import RoundRow
from fedtailor.server.base import Base
from fedtailor.server.choice import choose_devices, wanted_of
from fedtailor.server.cohort import Cohort
from fedtailor.server.commit import close_round
from fedtailor.server.history import merge_shares
from fedtailor.server.orders import Orders
from fedtailor.server.peer import Peer, after_exchange
from fedtailor.server.reprofile import reprofile
from fedtailor.server.roster import wait_for_nodes
from fedtailor.server.rounds import Arrival, Call, Exchange, Mailbox, accept
from fedtailor.server.run import Run, join
from fedtailor.server.training import TRAIN, Closed, Gathering


class BufferedTraining:
    """`job.concurrency` devices train at any time, each from the base that was the newest when it was asked.

    A device is asked again once its last update is committed, so it knows what became of it; one that failed, in the
    next commit. Commits are numbered as rounds are. A process that is killed loses the updates since the last commit:
    their devices are not told that they arrived, and keep them in their residuals.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._begin()

    def _begin(self) -> None:
        self._mailbox = Mailbox(self._run.grid, self._run.clock)
        self._under_way: dict[str, Orders] = {}  # of the devices that train
        self._come: deque[Arrival] = deque()  # replies that are not looked at yet

    def commit(self, number: int) -> RoundRow:
        """Commit number `number`: what `job.buffer` devices say, or fewer where nobody else can be asked; abandoned
        where none of them answers, or too few for the job's aggregate; then whoever still trains is not waited for.
        """
        run = self._run
        began_s = run.clock.now()
        wait_for_nodes(run.grid, 1, run.job.deadline_s, run.clock)
        join(run, number)
        reprofile(run, number, [each for each in run.roster.present(run.grid) if each not in self._under_way])
        buffer = _Buffer(run, number)
        enough = run.job.buffer or max(1, self._most() // 4)
        while len(buffer.gathering.answers) < enough:
            self._ask_more(buffer)
            if not self._under_way:
                break
            if not self._come:
                self._come.extend(self._mailbox.replies(buffer.found))
            while self._come and len(buffer.gathering.answers) < enough:
                arrival = self._come.popleft()
                buffer.take(self._under_way.pop(arrival.device_id), arrival)
            self._forget_silent()
        closed = buffer.close(run.clock.now() - began_s)
        if closed.base is None:  # a base tells in which round an update from it was asked for: `run.start` reads it so
            self._begin()
        return close_round(run, closed, buffer.found)

    def _ask_more(self, buffer: "_Buffer") -> None:
        """Until `job.concurrency` devices train; none twice from the same base."""
        run, number = self._run, buffer.number
        present = run.roster.present(run.grid)
        free = [each for each in present if each not in self._under_way and each not in buffer.asked | buffer.answered]
        missing = self._most() - len(self._under_way)
        chosen = choose_devices(run, number, missing, free) if free and missing > 0 else ()
        if not chosen:
            return
        cohort = _cohort(run, [each.device_id for each in chosen])
        orders = Orders(number, run.base, run.job, cohort, run.peers | buffer.heard)
        call = Call(message_type=TRAIN, round=number, deadline_s=run.job.deadline_s)
        for ask in orders.asks(run.roster):
            buffer.asked.add(ask.device_id)
            if self._mailbox.send(ask, call, buffer.found):
                self._under_way[ask.device_id] = orders

    def _most(self) -> int:
        """How many devices are to train at any time."""
        return self._run.job.concurrency or wanted_of(self._run.job, len(self._run.roster.present(self._run.grid)))

    def _forget_silent(self) -> None:
        heard = {arrival.device_id for arrival in self._come}
        for device_id in self._under_way.keys() - self._mailbox.devices - heard:
            del self._under_way[device_id]


class _Buffer:
    """The updates of one commit. `asked` are the devices asked since the one before; `heard` what replies told of
    theirs.
    """

    def __init__(self, run: Run, number: int) -> None:
        self._run = run
        self.number = number
        self.found = Exchange()
        self.asked: set[str] = set()
        self.heard: dict[str, Peer] = {}
        self.gathering = Gathering(number, run.base, run.job)
        with run.registry.transaction() as session:
            self._shares = merge_shares(session, number, run.job.staleness)

    @property
    def answered(self) -> set[str]:
        return set(self.gathering.answers)

    def take(self, orders: Orders, arrival: Arrival) -> None:
        """Account for one reply to these orders, whenever they were given, and fold it."""

        def receive(device_id: str, content: RecordDict) -> None:
            behind = self._behind(orders, device_id)
            answer = orders.read(self._run.roster, device_id, content)
            weight = answer.weight / self._shares.get(device_id, 1.0)
            self.gathering.fold(answer, stale_weight(weight, behind, self._run.job.staleness))

        call = Call(message_type=TRAIN, round=orders.number, deadline_s=self._run.job.deadline_s)
        found = Exchange()
        accept(arrival, call, receive, found)
        self.found.add(found)
        self.heard |= after_exchange(orders.peers, found, orders.base.version)

    def close(self, seconds: float) -> Closed:
        base = self._next_base()
        committed = base is not None
        return Closed(
            outcome=self.gathering.outcome(self.found, asked=len(self.asked), committed=committed, seconds=seconds),
            base=base,
            updates=self.gathering.update_rows() if committed else [],
            peers=self.gathering.peers(self.heard, committed=committed),
        )

    def _next_base(self) -> Base | None:
        if not self.gathering.answers:
            self.found.note(None, f"abandoned: none of {len(self.asked)} devices asked answered; the base is as before")
            return None
        try:
            return self.gathering.next_base(self._run.downlink)
        except RoundError as error:
            self.found.note(None, f"abandoned: {error}; the base is as before")
            return None

    def _behind(self, orders: Orders, device_id: str) -> int:
        """Commits since the orders."""
        behind, most = self.number - orders.number, self._run.job.staleness
        if behind > most:
            raise DecodeError(
                f"device {device_id}, round {orders.number}: it trained on base {orders.base.version}, {behind} commits"
                f" old, at most {most} are allowed; skipped. Raise staleness or buffer if slow devices are to count"
            )
        return behind


def stale_weight(weight: float, behind: int, most: int) -> float:
    """In proportion to 1 / sqrt(1 + behind); `weight` itself at `behind` = `most`, so it is never less than that."""
    return weight * sqrt((1 + most) / (1 + behind))


def _cohort(run: Run, devices: Sequence[str]) -> Cohort:
    """A device is drawn among those that are free, and that is not a probability of being merged: how often it is
    counts once its update has come.
    """
    return Cohort(
        plans={each: run.plans[each] for each in devices},
        inclusion=dict.fromkeys(devices, 1.0),
        wanted=len(devices),
    )
