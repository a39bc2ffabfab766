"""What a device tells of itself."""

from small_devices import HARDWARE, device, rows

from fedtailor.client.profile import LAST, profile_device


def test_hardware_data_and_budget_are_told(tmp_path):
    mine = device(tmp_path)
    profile = profile_device(mine)
    assert (profile.hardware, profile.budget) == (HARDWARE, mine.budget)
    assert (profile.data.train_samples, profile.data.validation_samples, profile.data.drift) == (96, 48, None)


def test_drift_is_against_the_last_profile_kept(tmp_path):
    profile_device(device(tmp_path))
    assert profile_device(device(tmp_path)).data.drift == 0.0
    moved = device(tmp_path)
    moved.data.train.x[:] = rows(96, 9).x + 1
    assert profile_device(moved).data.drift > 0.5


def test_a_damaged_profile_is_as_if_it_were_the_first_and_is_replaced(tmp_path, caplog):
    profile_device(device(tmp_path))
    (tmp_path / "values" / LAST).write_bytes(b"damaged")
    assert profile_device(device(tmp_path)).data.drift is None
    assert len(caplog.messages) == 1
    assert profile_device(device(tmp_path)).data.drift == 0.0
