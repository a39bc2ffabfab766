"""A job from the first profile to the last variant, over any Flower Grid."""

from collections.abc import Callable, Sequence
from functools import partial

from flwr.app import RecordDict
from flwr.serverapp import Grid

from fedtailor.protos.errors import RoundError
from fedtailor.protos.messages import Instruction, TailorReply
from fedtailor.protos.summary import RoundRow, Summary
from fedtailor.protos.variant import Ladder
from fedtailor.server.buffered import BufferedTraining
from fedtailor.server.choice import cohort_of
from fedtailor.server.commit import close_round
from fedtailor.server.content import content_of
from fedtailor.server.done import devices_done, is_tailored, ladders_done
from fedtailor.server.job import BUFFERED, Job
from fedtailor.server.peer import NEW, after_exchange, held_versions
from fedtailor.server.problem import Problem, one_line
from fedtailor.server.progress import Progress
from fedtailor.server.records import save_cohorts, save_ladder, save_scores, save_variant
from fedtailor.server.registry import VARIANT, Registry, add_problems, save_held
from fedtailor.server.reprofile import reprofile
from fedtailor.server.roster import wait_for_nodes
from fedtailor.server.rounds import CLOCK, Ask, Call, Clock, Exchange, exchange
from fedtailor.server.rows import RunRow
from fedtailor.server.run import Run, join, start
from fedtailor.server.summarise import summarise
from fedtailor.server.tailoring import EVALUATE, TAILOR, read_evaluation, read_ladder
from fedtailor.server.training import TRAIN, TrainingRound, traffic_rows
from fedtailor.strategies.gate import cohorts, withdraw
from fedtailor.strategies.plan import for_round

LOST_ROUNDS = 3  # in a row without a single answer: the fleet is gone


def run_job(grid: Grid, job: Job, registry: Registry, progress: Progress, *, clock: Clock = CLOCK) -> Summary:
    """Profile the fleet, train the base, tailor and judge every device's variant, and summarise.

    A registry that holds an unfinished run of the same job is resumed after its last recorded round, and what devices
    have tailored or evaluated already is not asked for again.

    Raises:
        RoundError: too few devices joined, or all of them are gone; what was committed stays.
        PlanError: the devices' data do not fit together, or no model takes it.
        RegistryError: the registry cannot be used, or holds another job's run.
    """
    began_s = clock.wall_now()
    run = start(grid, job, registry, progress, clock)
    train(run)
    ladders = tailor(run)
    withdrawn = withdraw(ladders, job.gate)
    with registry.transaction() as session:
        save_cohorts(session, cohorts(ladders), job.gate, withdrawn)
    evaluate(run, withdrawn)
    with registry.transaction() as session:
        session.get_one(RunRow, 1).seconds = clock.wall_now() - began_s
    return summarise(registry)


def train(run: Run) -> None:
    """The rounds that are left.

    Raises:
        RoundError: nobody answered in three rounds in a row.
    """
    lost = 0
    step = BufferedTraining(run).commit if run.job.mode == BUFFERED else partial(train_round, run)
    for number in range(run.next_round, run.job.rounds + 1):
        outcome = step(number)
        lost = 0 if outcome.answered else lost + 1
        run.progress("train", number, run.job.rounds, _note(outcome))
        if lost == LOST_ROUNDS:
            first = f"; first problem: {outcome.problems[0]}" if outcome.problems else ""
            raise RoundError(
                f"no device answered in rounds {number - lost + 1} to {number}{first}; base {run.base.version} is kept"
            )


def train_round(run: Run, number: int) -> RoundRow:
    """One round: ask, fold, then commit the next base or abandon the round."""
    began = run.clock.now()
    wait_for_nodes(run.grid, 1, run.job.deadline_s, run.clock)
    join(run, number)
    reprofile(run, number, run.roster.present(run.grid))
    cohort = cohort_of(run, number)
    under_way = TrainingRound(number, run.base, run.job, cohort, run.peers, teacher=run.teacher())
    call = Call(message_type=TRAIN, round=number, deadline_s=run.job.deadline_s, enough=cohort.wanted)
    found = exchange(
        run.grid,
        under_way.asks(run.roster),
        call,
        lambda device_id, content: under_way.receive(run.roster, device_id, content),
        clock=run.clock,
    )
    closed = under_way.close(found, run.clock.now() - began, run.downlink)
    return close_round(run, closed, found)


def tailor(run: Run) -> list[Ladder]:
    """Every device that has rows climbs its ladder, once; sorted by device."""
    ladders = ladders_done(run.registry, run.base)
    devices = [] if is_tailored(run.registry) else run.with_rows(run.roster.present(run.grid))
    recipes = [recipe.name for recipe in run.job.recipes]

    def receive(device_id: str, content: RecordDict) -> None:
        reply = read_ladder(content, device_id, run.base, recipes)
        with run.registry.transaction() as session:
            save_ladder(session, reply)
            add_problems(session, _problems(device_id, reply), stage=TAILOR, round_=run.job.rounds)
        ladders[device_id] = reply.ladder

    _ask_all(run, TAILOR, [device_id for device_id in devices if device_id not in ladders], receive)
    return [ladders[device_id] for device_id in sorted(ladders)]


def evaluate(run: Run, withdrawn: Sequence[str]) -> None:
    """Every device deploys the best rung that may run, and its test split is scored once.

    Raises:
        RoundError: nobody answered.
    """

    def receive(device_id: str, content: RecordDict) -> None:
        reply = read_evaluation(content, device_id, run.base, withdrawn)
        with run.registry.transaction() as session:
            save_scores(session, device_id, run.base.version, reply.scores)
            if reply.variant is not None:
                run.registry.put_artifact(session, reply.payload, VARIANT)
                save_variant(session, reply.variant)

    done = devices_done(run.registry, run.base)
    devices = [device_id for device_id in run.roster.present(run.grid) if device_id not in done]
    found = _ask_all(run, EVALUATE, devices, receive, withdrawn=tuple(withdrawn))
    if not found.answered and not done:
        first = f"; first problem: {found.problems[0].line}" if found.problems else ""
        raise RoundError(
            f"none of {len(found.traffic)} devices present deployed a variant{first}; base {run.base.version} is kept"
        )


def _ask_all(
    run: Run,
    stage: str,
    devices: Sequence[str],
    receive: Callable[[str, RecordDict], None],
    *,
    withdrawn: tuple[str, ...] = (),
) -> Exchange:
    """Ask `devices` for `stage` from the last base, with progress, and keep traffic and problems."""
    name = stage.removeprefix("train.")
    done = 0

    def counted(device_id: str, content: RecordDict) -> None:
        nonlocal done
        receive(device_id, content)
        done += 1
        run.progress(name, done, len(devices), device_id)

    run.progress(name, 0, len(devices), "")
    number = run.job.rounds
    call = Call(message_type=stage, round=number, deadline_s=run.job.deadline_s)
    asks = (_ask(run, device_id, withdrawn) for device_id in devices)
    found = exchange(run.grid, asks, call, counted, clock=run.clock)
    peers = after_exchange(run.peers, found, run.base.version)
    run.peers |= peers
    with run.registry.transaction() as session:
        save_held(session, held_versions(peers))
        for row in traffic_rows(found, stage, number):
            session.merge(row)
        add_problems(session, found.problems, stage=stage, round_=number)
    return found


def _ask(run: Run, device_id: str, withdrawn: tuple[str, ...]) -> Ask:
    plan = for_round(run.plans[device_id], seed=run.job.seed, round_=run.job.rounds, base_version=run.base.version)
    peer = run.peers.get(device_id, NEW)
    order = Instruction(
        plan=plan,
        base=run.base.ring.broadcast(peer.held_version),
        acknowledged_round=peer.acknowledged_round,
        withdrawn=withdrawn,
    )
    return Ask(device_id, run.roster.nodes[device_id], content_of(instruction=order))


def _problems(device_id: str, reply: TailorReply) -> list[Problem]:
    return [Problem(device_id, one_line(f"device {device_id}, {TAILOR}: {line}")) for line in reply.problems]


def _note(outcome: RoundRow) -> str:
    score = "" if outcome.base_validation_score is None else f", base {outcome.base_validation_score:.3f}"
    return f"{outcome.answered} of {outcome.asked}{score}{'' if outcome.committed else ', abandoned'}"
