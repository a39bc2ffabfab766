"""What of a run is done, by its registry: an attempt that follows one that broke off does none of it again."""

from sqlalchemy import select

from fedtailor.protos.variant import Ladder
from fedtailor.protos.wire import from_bytes
from fedtailor.server.base import Base
from fedtailor.server.registry import Registry
from fedtailor.server.rows import CohortRow, LadderRow, RunRow, ScoreRow


def is_finished(registry: Registry) -> bool:
    """Whether its last stage has ended: only then is it recorded how long that took."""
    with registry.transaction() as session:
        run = session.get(RunRow, 1)
        return run is not None and run.seconds > 0


def ladders_done(registry: Registry, base: Base) -> dict[str, Ladder]:
    """The ladders that devices have climbed from this base, by device.

    Raises:
        DecodeError: a row is damaged.
    """
    with registry.transaction() as session:
        rows = session.scalars(select(LadderRow).where(LadderRow.base_version == base.version).order_by(LadderRow.key))
        ladders = [from_bytes(Ladder, row.ladder, sender=registry.name) for row in rows]
    return {ladder.device_id: ladder for ladder in ladders if ladder.base_hash == base.public.hash}


def is_tailored(registry: Registry) -> bool:
    """Whether the fleet's evidence has been pooled: a ladder more could withdraw what is deployed already."""
    with registry.transaction() as session:
        return any(session.scalars(select(row)).first() is not None for row in (CohortRow, ScoreRow))


def devices_done(registry: Registry, base: Base) -> set[str]:
    """Those whose test split has been scored with this base."""
    with registry.transaction() as session:
        scored = select(ScoreRow.device_id).where(ScoreRow.base_version == base.version)
        return set(session.scalars(scored))
