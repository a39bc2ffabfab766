"""What the registry knows of each device from earlier rounds, as far as the choice of devices looks at it."""

from dataclasses import dataclass

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from fedtailor.server.rows import TrafficRow, UpdateRow
from fedtailor.server.training import TRAIN

LATELY = 20  # rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a `Candidate` is told. asked, answered: in the last 20 rounds."""

    asked: int = 0
    answered: int = 0
    last_round: int | None = None
    last_loss: float | None = None


NO_HISTORY = History()


def histories(session: Session, before: int) -> dict[str, History]:
    """Of every device asked to train before round `before`, by id."""
    updates = {row.device_id: row for row in _last_updates(session, before)}
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
        )
        for device_id, asked, answered, last_round in session.execute(query)
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
