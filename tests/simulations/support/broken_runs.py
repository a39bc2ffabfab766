"""Runs in processes of their own, which end at a moment of the test's choosing; and what two runs must agree on."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from small_fleet import small_fleet
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from fedtailor.protos.variant import Ladder, Rung
from fedtailor.protos.wire import from_bytes
from fedtailor.server.database import FILE
from fedtailor.server.registry import Registry, open_registry
from fedtailor.server.rows import CohortRow, LadderRow, ProblemRow, RoundEntry, ScoreRow, TrafficRow, UpdateRow
from fedtailor.server.summarise import summarise
from fedtailor.simulations.fleet import Fleet, write_fleet
from fedtailor.simulations.simulate import CONFIG

COMMAND = Path(sys.executable).with_name("fedtailor")
PATIENCE_S = 60
JOB = {
    "rounds": 6,
    "fraction": 0.7,
    "train": {"epochs": 1, "batch_size": 16, "learning_rate": 0.05},
    "personal": {"method": "finetune", "epochs": 2, "batch_size": 16, "learning_rate": 0.02},
    "recipes": [  # of fixed precision: no stopwatch has a say in what they come to
        {"name": "int8", "shrink": 1, "precision": "int8"},
        {"name": "student", "shrink": 1, "student": 0.3, "precision": "fp32", "distil_steps": 20},
    ],
}
TIMED = ("latency_p50_us_measured", "latency_p99_us_measured", "cpu_p50_us_measured", "load_ms_measured",
         "memory_bytes_measured", "latency_ms_modelled", "energy_mj_measured")  # fmt: skip


def tiny_fleet(folder: Path) -> Fleet:
    """One worker, and a file that the command reads."""
    fleet = small_fleet(folder, workers=1, dropout=0.1, job=JOB)
    write_fleet(folder / "fleet.toml", fleet)
    return fleet


def start(run: Path) -> subprocess.Popen[str]:
    """The run as a user begins it, or goes on with it, at the head of a process group of its own. Killed before it had
    its config, it is begun anew.
    """
    if not (run / CONFIG).exists():
        shutil.rmtree(run, ignore_errors=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background are deaf to it, and pass that on
    begin = ("--config", str(run.parent / "fleet.toml"), "--out", str(run))
    options = ("--resume", str(run)) if (run / CONFIG).exists() else begin
    return subprocess.Popen(
        [COMMAND, "simulate", *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip


def kill(process: subprocess.Popen[str]) -> str:
    """The server alone; every worker of it must end by itself. Returns what it had said and nobody had read."""
    process.send_signal(signal.SIGKILL)
    said = process.communicate()[1]
    assert_gone(process)
    return said


def said_rounds(said: str) -> int:
    """How many rounds of training a process has told to be over."""
    return max((int(number) for number in re.findall(r"^train: (\d+) of", said, flags=re.MULTILINE)), default=0)


def recorded_rounds(run: Path) -> int:
    """Those in the registry, if there is one."""
    if not (run / FILE).exists():
        return 0
    with open_registry(run) as registry, registry.transaction() as session:
        return session.scalars(select(func.count()).select_from(RoundEntry).where(RoundEntry.round > 0)).one()


def assert_gone(process: subprocess.Popen[str]) -> None:
    """Nobody of its group is left, or will not be in a moment."""
    end = time.monotonic() + PATIENCE_S
    while (left := _group(process.pid)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not left


def _group(leader: int) -> list[int]:
    return [each.pid for each in psutil.process_iter(["status"]) if _belongs(each, leader)]


def _belongs(process: psutil.Process, leader: int) -> bool:
    try:
        return process.info["status"] != psutil.STATUS_ZOMBIE and os.getpgid(process.pid) == leader
    except ProcessLookupError:
        return False


def assert_same(run: Path, unbroken: Path) -> None:
    """What resuming promises: equal in all but seconds and bytes of memory, and what follows from those.

    These decide whether a rung is slower than fp32 or misses its budget, and so which rung a device deploys; but the
    payload and the score of a rung that is deployed are those of the unbroken run.
    """
    assert facts(run) == facts(unbroken)
    for ours, theirs in zip(_summary(run).devices, _summary(unbroken).devices, strict=True):
        payloads = {rung.recipe: rung.payload_sha256 for rung in (theirs.ladder.reference, *theirs.ladder.rungs)}
        assert ours.variant.rung.payload_sha256 == payloads[ours.variant.rung.recipe]
        if ours.variant.rung.recipe == theirs.variant.rung.recipe:
            assert ours.scores == theirs.scores


def facts(run: Path) -> dict[str, Any]:
    """What the registry holds, each row once, without what was measured and without what every attempt adds: profiles,
    plans, and the traffic of other stages than training.
    """
    with open_registry(run, create=False) as registry, registry.transaction() as session:
        return {
            "rounds": _rows(session, select(RoundEntry), leave=("seconds",)),
            "updates": _rows(session, select(UpdateRow), leave=("train_cpu_s",)),
            "traffic": _rows(session, select(TrafficRow).where(TrafficRow.stage == "train")),
            "cohorts": _rows(session, select(CohortRow)),
            "scores": _rows(session, select(ScoreRow), leave=("variant", "scores")),
            "problems": _rows(session, select(ProblemRow), leave=("key",)),
            "ladders": _ladders(session, registry),
        }


def _rows(session: Session, query: Select[Any], leave: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    rows = [
        {column.name: getattr(row, column.name) for column in row.__table__.columns if column.name not in leave}
        for row in session.scalars(query)
    ]
    return sorted(rows, key=str)


def _ladders(session: Session, registry: Registry) -> list[Ladder]:
    ladders = [from_bytes(Ladder, row.ladder, sender=registry.name) for row in session.scalars(select(LadderRow))]
    return sorted((_timeless(ladder) for ladder in ladders), key=lambda ladder: ladder.device_id)


def _timeless(ladder: Ladder) -> Ladder:
    return replace(ladder, reference=_still(ladder.reference), rungs=tuple(map(_still, ladder.rungs)))


def _still(rung: Rung) -> Rung:
    cost = replace(rung.efficiency, **dict.fromkeys(TIMED, 0))
    return replace(rung, efficiency=cost, latency_ratio=1.0, unmet=(), note="")


def _summary(run: Path):
    with open_registry(run, create=False) as registry:
        return summarise(registry)
