"""Buffered training over scripted devices, some of them slow."""

from dataclasses import replace

from flwr.app import Message
from scripted import FakeTime, Vanish, fleet
from scripted_run import JOB
from sqlalchemy import select

from fedtailor.server.registry import open_registry
from fedtailor.server.rows import UpdateRow

BUFFERED = replace(JOB, mode="buffered", buffer=2, staleness=10, rounds=6)
TRAIN = "train"


class Slow:
    """Its replies to training come `seconds` after they were asked for."""

    def __init__(self, grid, time, seconds):
        self.grid, self.time, self.seconds = grid, time, seconds

    def __call__(self, device, message):
        reply = Message(device.train(), reply_to=message)
        self.time.at.append((self.time.now_s + self.seconds, lambda: self.grid.extra.append(reply)))
        raise Vanish


def slow_fleet(*pairs):
    """A fleet of (device, seconds), and its clock."""
    time = FakeTime()
    grid = fleet(*(device for device, _ in pairs))
    for device, seconds in pairs:
        device.on[TRAIN] = Slow(grid, time, seconds)
    return grid, time


def merged(folder):
    """(device, round that merged it, base it trained on) of every update."""
    with open_registry(folder) as registry, registry.transaction() as session:
        rows = session.scalars(select(UpdateRow).order_by(UpdateRow.round, UpdateRow.device_id))
        return [(row.device_id, row.round, row.base_version) for row in rows]
