"""The ladder beside what a person gets today from other tools: same trained base, same rows, same machine.

For each fleet file and seed a base is trained on the whole train split. Every peer quantises it, our ladder tailors it,
and a network of a middle rung's sizes is trained from the start; at most `calibration` train rows are for compressing,
the validation rows for decisions.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fedtailor.client.export import to_onnx
from fedtailor.client.probe import probe
from fedtailor.client.store import DeviceStore
from fedtailor.client.tailor import Tailored, tailor
from fedtailor.client.train import cosine
from fedtailor.protos.errors import DataError
from fedtailor.protos.plan import Recipe
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.server.job import STUDENT
from fedtailor.server.progress import Progress
from fedtailor.server.run import plan_template
from fedtailor.simulations.central import devices_of, pooled, train_base
from fedtailor.simulations.contest import Contest, Made, smallest_bytes
from fedtailor.simulations.fleet import Fleet
from fedtailor.simulations.named import named
from fedtailor.simulations.peers.outcome import run_peer
from fedtailor.simulations.peers.peer import PEERS, Peer, PeerTask, Validation
from fedtailor.simulations.peers.plain_model import plain_model
from fedtailor.simulations.personal_model import BASE
from fedtailor.simulations.train_small import middle_rung, train_small
from fedtailor.simulations.variant_row import OURS, REFERENCE, SMALL, VariantRow
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.integer.quantise import quantise
from fedtailor.strategies.label_prior import FleetLabels
from fedtailor.strategies.models.model import build, load_state
from fedtailor.strategies.payload.payload import pack, unpack

BEYOND = (  # to see it break
    *(Recipe(name=f"x{shrink}", shrink=shrink, distil_steps=200) for shrink in (100, 160)),
    Recipe(name="fast10", shrink=40, speed=10, distil_steps=200),
    STUDENT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a comparison is run: by which peers, from which seeds, with how much training and how many rows.

    `learning_rate` is that of the base. `beyond`: recipes beside those of the job.
    """

    peers: tuple[Peer, ...]
    seeds: int
    epochs: int
    calibration: int
    learning_rate: float = BASE.learning_rate
    beyond: tuple[Recipe, ...] = BEYOND


def peers_named(names: Sequence[str]) -> tuple[Peer, ...]:
    """The registered peers of these names, as `named`."""
    return named("peers", names, PEERS)


def bench_variants(fleet: Fleet, terms: Terms, progress: Progress) -> list[VariantRow]:
    """Every method on one fleet's pooled rows, once for each seed.

    Raises:
        DataError, ConfigError, PlanError: the fleet's rows cannot be used.
    """
    devices = devices_of(fleet)
    rows = []
    for seed in range(terms.seeds):
        total = len(terms.peers) + 3
        stage = f"{fleet.name}, seed {seed}"
        progress(stage, 0, total, "training the base")
        contest = _contest(fleet, devices, terms, seed)
        for done, (note, row) in enumerate(_rows(contest, terms), start=1):
            rows += row
            progress(stage, done, total, note)
    return rows


def _contest(fleet: Fleet, devices: Sequence[DeviceData], terms: Terms, seed: int) -> Contest:
    rows = pooled(devices)
    if not (len(rows.validation) and len(rows.test)):
        raise DataError(
            f"fleet {fleet.name!r}: split: expected validation and test rows to compare methods on, got "
            f"{len(rows.validation)} and {len(rows.test)}"
        )
    plan = replace(BASE, epochs=terms.epochs, learning_rate=terms.learning_rate)
    base = train_base(devices, fleet.job.model, plan, seed=seed, schedule=cosine)
    module = build(base.spec)
    load_state(module, base.state)
    net = trace(module, base.spec)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows.train))[: terms.calibration])
    calibration = Samples(rows.train.x[chosen], rows.train.y[chosen])
    model = to_onnx(net)
    return Contest(
        name=fleet.name,
        net=net,
        reference=Made(REFERENCE, model, len(pack(net)), base.cpu_s),
        plain_model=plain_model(model, module, calibration.x),
        data=replace(rows, train=calibration),
        train=rows.train,
        plan=replace(
            plan_template(fleet.job, base.spec, FleetLabels()),
            device_id=rows.device_id,
            seed=seed,
            train=plan,
            recipes=(*fleet.job.recipes, *terms.beyond),
        ),
    )


def _rows(contest: Contest, terms: Terms) -> Iterator[tuple[str, list[VariantRow]]]:
    """Rows as they are ready, each with what comes after them."""
    notes = [*(peer.name for peer in terms.peers), OURS, SMALL, ""]
    yield notes[0], [replace(contest.row(contest.reference), verdict="")]  # nothing to judge
    for peer, following in zip(terms.peers, notes[1:], strict=False):
        yield following, [_peer_row(contest, peer)]
    with TemporaryDirectory() as folder:  # a store of its own: operator timings are part of what the ladder takes
        store = DeviceStore(Path(folder))
        hardware = probe(contest.data.device_id, store=store)
        began = time.process_time()
        tailored = tailor(contest.net, contest.data, contest.plan, hardware, store=store)
        cpu_s = time.process_time() - began
    yield SMALL, _our_rows(contest, tailored, cpu_s)
    yield "", [_small_row(contest, tailored)]


def _peer_row(contest: Contest, peer: Peer) -> VariantRow:
    validate = Validation(contest.data.kind, contest.data.validation)
    with TemporaryDirectory() as folder:
        task = PeerTask(contest.plain_model, contest.data.train.x, validate, Path(folder))
        outcome = run_peer(peer, task)
    if outcome.model is None:
        return contest.without_model(peer.name, outcome.problem)
    return contest.row(Made(peer.name, outcome.model, smallest_bytes(outcome.model), outcome.cpu_s))


def _our_rows(contest: Contest, tailored: Tailored, cpu_s: float) -> list[VariantRow]:
    made = [
        Made(f"{OURS} {tried.rung.recipe}", to_onnx(unpack(tried.payload)), len(tried.payload), cpu_s)
        for tried in tailored.rungs
    ]
    problems = [contest.without_model(OURS, problem) for problem in tailored.problems]
    return [contest.row(one) for one in made] + problems


def _small_row(contest: Contest, tailored: Tailored) -> VariantRow:
    middle = middle_rung([tried.rung for tried in tailored.rungs])
    if middle is None:
        return contest.without_model(SMALL, "no rung lost channels, so there are no smaller sizes to train")
    plan = contest.plan
    began = time.process_time()
    net = train_small(contest.net, middle.mask, contest.train, plan.model, plan.train, seed=plan.seed)
    made = quantise(net, contest.data.train.x)
    cpu_s = time.process_time() - began
    return contest.row(Made(SMALL, to_onnx(made), len(pack(made)), cpu_s, note=f"sizes of {middle.recipe}, int8"))
