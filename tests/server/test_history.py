"""What the registry tells of devices: how often they are merged, and how long they are waited for."""

import pytest

from fedtailor.protos.summary import RoundRow
from fedtailor.server.history import histories, merge_shares
from fedtailor.server.registry import open_registry
from fedtailor.server.rows import DeviceEntry, TrafficRow, UpdateRow
from fedtailor.server.training import TRAIN

FIRST_ASKED = {"often": 1, "seldom": 1, "never": 1, "late": 9}
MERGED = {"often": range(1, 11), "seldom": (4, 9), "never": (), "late": (10,)}


def traffic(device_id, round_, seconds=None, answered=False):
    return TrafficRow(
        device_id=device_id,
        stage=TRAIN,
        round=round_,
        answered=answered,
        uplink_bytes=0,
        downlink_bytes=1,
        seconds=seconds,
    )


def update(device_id, round_):
    return UpdateRow(device_id=device_id, round=round_, base_version=0, num_examples=1)


def outcome(number):
    return RoundRow(
        round=number, base_version=number, committed=True, asked=1, answered=1, base_validation_score=None,
        train_loss=None, uplink_bytes=0, downlink_bytes=0, seconds=0.0,
    )  # fmt: skip


@pytest.fixture
def session(tmp_path):
    """After ten rounds."""
    with open_registry(tmp_path) as registry:
        with registry.transaction() as session:
            session.add_all([DeviceEntry(device_id=name, device_class="phone") for name in FIRST_ASKED])
        for number in range(1, 11):
            updates = [update(name, number) for name, rounds in MERGED.items() if number in rounds]
            asked = [traffic(name, number) for name, first in FIRST_ASKED.items() if number in (first, 10)]
            registry.commit_round(outcome(number), None, updates=updates, rows=asked)
        with registry.transaction() as session:
            yield session


def test_a_share_is_of_the_rounds_since_a_device_was_first_asked_with_one_more_merged(session):
    shares = merge_shares(session, 11, most=20)
    assert shares == pytest.approx({"often": 1.0, "seldom": 3 / 11, "never": 1 / 11, "late": 2 / 3})


def test_no_share_is_so_small_that_one_device_outweighs_all(session):
    shares = merge_shares(session, 11, most=4)
    assert shares == pytest.approx({"often": 1.0, "seldom": 3 / 11, "never": 1 / 5, "late": 2 / 3})


def test_of_later_rounds_nothing_is_told(session):
    assert merge_shares(session, 1, most=5) == {}
    assert merge_shares(session, 4, most=5)["seldom"] == 1 / 4


@pytest.mark.parametrize(
    ("waits", "seconds"),
    [
        ([(9.0, True), (2.0, True)], 2.0),
        ([(9.0, True), (2.0, False)], 9.0),  # the round did not wait for more
        ([(2.0, True), (9.0, False)], 9.0),
        ([(9.0, False), (2.0, True)], 2.0),
        ([(3.0, False)], 3.0),
        ([(None, True)], None),
    ],
)
def test_a_device_takes_what_its_last_answer_took_or_longer_where_it_was_waited_for_in_vain(tmp_path, waits, seconds):
    with open_registry(tmp_path) as registry:
        with registry.transaction() as session:
            session.add(DeviceEntry(device_id="a", device_class="phone"))
        for number, (waited, answered) in enumerate(waits, start=1):
            registry.commit_round(outcome(number), None, updates=[], rows=[traffic("a", number, waited, answered)])
        with registry.transaction() as session:
            assert histories(session, len(waits) + 1)["a"].seconds == seconds
