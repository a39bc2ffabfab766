"""A device that has said its mask need not say it again, whatever became of the server since."""

from dataclasses import replace

import numpy as np
import pytest
from scripted import FakeTime, entry, fleet
from scripted_run import JOB, devices, run
from sqlalchemy import func, select

from fedtailor.protos.schema import schema_of
from fedtailor.server.coordinator import run_job
from fedtailor.server.masks import mask_rows, masks_known
from fedtailor.server.peer import Peer
from fedtailor.server.registry import open_registry
from fedtailor.server.rows import MaskRow
from fedtailor.strategies.codec.envelope import Address, encode_update
from fedtailor.strategies.codec.public_base import shared_context
from fedtailor.strategies.codec.sent_mask import MASKS_KNOWN, NO_MASKS, SentMask


class HalfModel:
    """Trains every other coordinate; says which only until it has been told that its last update arrived."""

    def __init__(self):
        self.last_round = 0

    def __call__(self, device, _):
        plan, base = device.order.plan, device.base()
        reply = device.train_reply()
        kept = np.arange(schema_of(base.state).size) % 2 == 0
        sure = device.order.acknowledged_round == self.last_round > 0
        self.last_round = plan.round
        update = encode_update(
            [np.ones_like(value) for value in base.state.values()],
            shared_context(base.context, ()),
            Address(
                device_id=device.device_id,
                round=plan.round,
                base_version=plan.base_version,
                context_version=base.context_version,
                codec=plan.codec,
            ),
            num_examples=device.rows,
            rng=np.random.default_rng(plan.seed),
            mask=SentMask(kept, kept if sure else None),
        )
        return entry("train", replace(reply, update=update))


def interrupt(*step):
    if step[:2] == ("train", 2):
        raise KeyboardInterrupt


def test_a_resumed_server_knows_the_masks_that_were_said_before(tmp_path):
    unbroken = devices("ab")
    unbroken[0].on["train"] = HalfModel()
    expected, _ = run(tmp_path / "unbroken", fleet(*unbroken))
    before, half = devices("ab"), HalfModel()
    before[0].on["train"] = half
    with open_registry(tmp_path / "run") as registry, pytest.raises(KeyboardInterrupt):
        run_job(fleet(*before), JOB, registry, interrupt, clock=FakeTime().clock)
    back = devices("ab")
    back[0].on["train"] = half
    for device, old in zip(back, before, strict=True):
        device.held = old.held
    summary, _ = run(tmp_path / "run", fleet(*back))
    assert summary == expected
    assert summary.devices[0].rounds_answered == 3
    with open_registry(tmp_path / "run") as registry, registry.transaction() as session:
        assert session.scalars(select(func.count()).select_from(MaskRow)).one() == 1


def test_the_last_masks_of_a_device_come_back_in_order(tmp_path):
    kept = [np.arange(20) % step == 0 for step in range(1, 5)]
    peer, rows = Peer(), []
    run(tmp_path, fleet(*devices("a")))
    with open_registry(tmp_path) as registry:
        for mask in kept:
            after = replace(peer, masks=peer.masks.adding(mask))
            rows = mask_rows({"a": peer}, {"a": after})
            with registry.transaction() as session:
                session.add_all(rows)
            peer = after
        with registry.transaction() as session:
            assert masks_known(session) == {"a": peer.masks}
    assert len(peer.masks.packed) == MASKS_KNOWN
    assert mask_rows({"a": peer}, {"a": peer}) == mask_rows({}, {"a": Peer(masks=NO_MASKS)}) == []
