"""A round that is over is recorded, whole, and the run goes on from there."""

from fedtailor.protos.summary import RoundRow
from fedtailor.server.base import checkpoint_of
from fedtailor.server.masks import mask_rows
from fedtailor.server.peer import held_versions
from fedtailor.server.rounds import Exchange
from fedtailor.server.run import Run
from fedtailor.server.training import TRAIN, Closed, traffic_rows


def close_round(run: Run, closed: Closed, found: Exchange) -> RoundRow:
    """Record the round, whole, and go on from the base it leads to."""
    outcome, base = closed.outcome, closed.base
    run.registry.commit_round(
        outcome,
        checkpoint_of(base) if base else None,
        updates=closed.updates,
        problems=found.problems,
        rows=[*traffic_rows(found, TRAIN, outcome.round), *mask_rows(run.peers, closed.peers)],
        held=held_versions(closed.peers),
    )
    run.peers |= closed.peers
    run.base = base or run.base
    return outcome
