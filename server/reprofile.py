"""Devices under way profile their data anew; those whose data has moved get a new plan.

A new plan is how the device personalises, what stays personal, and what it can train. The standardisation of the model
stays: it is part of what the fleet shares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flwr.app import RecordDict

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.messages import Instruction, Profile
from fedtailor.server.content import content_of, read_reply
from fedtailor.server.peer import NEW, after_exchange, held_versions
from fedtailor.server.records import save_plan, save_profile
from fedtailor.server.registry import add_problems, save_held
from fedtailor.server.roster import PROFILE, check_told
from fedtailor.server.rounds import Ask, Call, Exchange, exchange
from fedtailor.server.run import Run, planned
from fedtailor.server.training import traffic_rows
from fedtailor.strategies.drift import moved
from fedtailor.strategies.plan import check_profile, for_round


def reprofile(run: Run, round_: int, devices: Sequence[str]) -> None:
    """Before round `round_`, ask those of `devices` that were last asked at least `job.reprofile_every` rounds ago."""
    every, profiled = run.job.reprofile_every, run.roster.profiled
    due = [device_id for device_id in devices if every and round_ - profiled[device_id] >= every]
    if not due:
        return
    told: dict[str, Profile] = {}

    def receive(device_id: str, content: RecordDict) -> None:
        told[device_id] = _read(run, device_id, content)

    call = Call(message_type=PROFILE, round=round_, deadline_s=run.job.deadline_s)
    asks = (_ask(run, device_id, round_) for device_id in due)
    found = exchange(run.grid, asks, call, receive, clock=run.clock)
    profiled.update(dict.fromkeys(due, round_))
    _keep(run, found, dict(sorted(told.items())), round_)


def _ask(run: Run, device_id: str, round_: int) -> Ask:
    lean = replace(run.plans[device_id], recipes=())
    peer = run.peers.get(device_id, NEW)
    order = Instruction(
        plan=for_round(lean, seed=run.job.seed, round_=round_, base_version=run.base.version),
        base=run.base.ring.broadcast(peer.held_version),
        acknowledged_round=peer.acknowledged_round,
    )
    return Ask(device_id, run.roster.nodes[device_id], content_of(instruction=order))


def _read(run: Run, device_id: str, content: RecordDict) -> Profile:
    profile = read_reply(content, "profile", Profile, sender=f"device {device_id}")
    check_told(profile, f"device {device_id}")
    if profile.data.device_id != device_id:
        raise DecodeError(f"device {device_id}: the profile of device {profile.data.device_id} came; ignored")
    check_profile(profile.data, run.model)
    return profile


def _keep(run: Run, found: Exchange, told: Mapping[str, Profile], round_: int) -> None:
    """The profiles, and a plan for each device that needs another."""
    reasons = {device_id: _reason(run.roster.profiles[device_id], profile) for device_id, profile in told.items()}
    run.roster.profiles.update(told)
    labels = run.labels
    peers = after_exchange(run.peers, found, run.base.version)
    run.peers |= peers
    with run.registry.transaction() as session:
        for device_id, profile in told.items():
            save_profile(session, profile)
            if reasons[device_id]:
                plan, word = planned(run, found, device_id, labels)
                save_plan(session, plan, f"{word}; anew in round {round_}: {reasons[device_id]}")
        save_held(session, held_versions(peers))
        for row in traffic_rows(found, PROFILE, round_):
            session.merge(row)
        add_problems(session, found.problems, stage=PROFILE, round_=round_)


def _reason(before: Profile, now: Profile) -> str:
    """Why the device needs another plan; empty where it does not."""
    if bool(before.data.train_samples) != bool(now.data.train_samples):
        return "it has rows now" if now.data.train_samples else "no rows are left"
    parts = moved(now.data.drift)
    return f"{' and '.join(parts)} moved" if parts else ""
