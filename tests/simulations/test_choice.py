"""Real devices in worker processes: whom rounds ask, and whom they wait for, is decided on virtual time."""

from small_fleet import JOB, small_fleet

from fedtailor.simulations.simulate import simulate

DEVICES = [
    {"id": "north", "class": "smart-watch", "tags": ["shop", "till"]},
    {"id": "east", "class": "phone", "tags": ["till"]},
    {"id": "south", "class": "phone", "tags": ["camera"]},
]
CHOICE = {"fraction": 0.5, "over_selection": 1.0, "tags": ["till"], "choice": {"name": "utility"}, "recipes": []}


def test_the_slower_of_two_devices_with_the_tag_is_always_late(tmp_path):
    fleet = small_fleet(tmp_path, device=DEVICES, job={**JOB, **CHOICE})
    summary = simulate(fleet, tmp_path / "run", lambda *_: None)
    assert [(row.asked, row.answered, row.committed) for row in summary.rounds] == [(2, 1, True)] * 3
    assert {row.problems for row in summary.rounds} == {("device north, train: late, 1 others had answered",)}
