"""What the registry knows of each device from earlier rounds, as far as the choice of devices looks at it."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, case, func, select, true
from sqlalchemy.orm import Session

from fedtailor.server.rows import TrafficRow, UpdateRow
from fedtailor.server.training import TRAIN

LATELY = 20  # rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a `Candidate` is told. asked, answered: in the last 20 rounds. seconds: as of `Candidate`."""

    asked: int = 0
    answered: int = 0
    last_round: int | None = None
    last_loss: float | None = None
    seconds: float | None = None


NO_HISTORY = History()


def histories(session: Session, before: int) -> dict[str, History]:
    """Of every device asked to train before round `before`, by id."""
    updates = {row.device_id: row for row in _last_updates(session, before)}
    seconds = _seconds(session, before)
    lately = TrafficRow.round >= before - LATELY
    query = (
        select(
            TrafficRow.device_id,
            func.sum(case((lately, 1), else_=0)),
            func.sum(case((and_(lately, TrafficRow.answered), 1), else_=0)),
            func.max(TrafficRow.round),
        )
        .where(TrafficRow.stage == TRAIN, TrafficRow.round < before)
        .group_by(TrafficRow.device_id)
    )
    return {
        device_id: History(
            asked=int(asked),
            answered=int(answered),
            last_round=last_round,
            last_loss=updates[device_id].train_loss if device_id in updates else None,
            seconds=seconds.get(device_id),
        )
        for device_id, asked, answered, last_round in session.execute(query)
    }


def merge_shares(session: Session, round_: int, most: int) -> dict[str, float]:
    """Of every device asked before round `round_`, the share of rounds since, from the one that first asked it, that
    have merged an update of it, where `round_` merges one more.

    Never less than 1 / (`most` + 1): who comes back after long does not outweigh all others.
    """
    merged = select(UpdateRow.device_id, func.count()).where(UpdateRow.round < round_).group_by(UpdateRow.device_id)
    counts = {row[0]: row[1] for row in session.execute(merged)}
    asked = select(TrafficRow.device_id, func.min(TrafficRow.round))
    asked = asked.where(TrafficRow.stage == TRAIN, TrafficRow.round < round_).group_by(TrafficRow.device_id)
    return {
        device_id: max((counts.get(device_id, 0) + 1) / (round_ - first + 1), 1 / (most + 1))
        for device_id, first in session.execute(asked)
    }


def _last_updates(session: Session, before: int) -> list[UpdateRow]:
    last = (
        select(UpdateRow.device_id, func.max(UpdateRow.round).label("round"))
        .where(UpdateRow.round < before)
        .group_by(UpdateRow.device_id)
        .subquery()
    )
    same = and_(UpdateRow.device_id == last.c.device_id, UpdateRow.round == last.c.round)
    return list(session.scalars(select(UpdateRow).join(last, same).order_by(UpdateRow.base_version)))


def _seconds(session: Session, before: int) -> dict[str, float]:
    """What the last answer took, or longer where a device was last waited for in vain: at least so much it takes."""
    answered, waited = _last_waits(session, before, TrafficRow.answered.is_(True)), _last_waits(session, before, true())
    return {device_id: max(seconds, answered.get(device_id, 0.0)) for device_id, seconds in waited.items()}


def _last_waits(session: Session, before: int, which: ColumnElement[bool]) -> dict[str, float]:
    known = and_(TrafficRow.stage == TRAIN, TrafficRow.round < before, TrafficRow.seconds.is_not(None), which)
    last = (
        select(TrafficRow.device_id, func.max(TrafficRow.round).label("round"))
        .where(known)
        .group_by(TrafficRow.device_id)
        .subquery()
    )
    same = and_(TrafficRow.device_id == last.c.device_id, TrafficRow.round == last.c.round)
    rows = session.scalars(select(TrafficRow).join(last, same).where(TrafficRow.stage == TRAIN))
    return {row.device_id: row.seconds for row in rows if row.seconds is not None}
