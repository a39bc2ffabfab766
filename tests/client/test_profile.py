"""What a device tells of itself when it joins."""

from small_devices import HARDWARE, device, rows

from fedtailor.client.profile import PLANNED, profile_device
from fedtailor.strategies.drift import moved


def test_hardware_data_and_budget_are_told(tmp_path):
    mine = device(tmp_path)
    profile = profile_device(mine, 3)
    assert (profile.hardware, profile.budget) == (HARDWARE, mine.budget)
    assert (profile.data.train_samples, profile.data.validation_samples) == (96, 48)
    assert (profile.data.round, profile.data.drift) == (3, None)


def test_drift_is_against_the_profile_it_joined_with_the_last_time(tmp_path):
    profile_device(device(tmp_path), 0)
    same = profile_device(device(tmp_path), 0).data.drift
    assert (same.label.size, same.feature.size, same.confidence) == (0.0, 0.0, None)
    other = device(tmp_path)
    other.data.train.x[:] = rows(96, 9).x + 1
    assert moved(profile_device(other, 0).data.drift) == ("features",)
    assert moved(profile_device(other, 0).data.drift) == ()


def test_a_damaged_record_is_as_if_it_were_the_first_and_is_replaced(tmp_path, caplog):
    profile_device(device(tmp_path), 0)
    (tmp_path / "values" / PLANNED).write_bytes(b"damaged")
    assert profile_device(device(tmp_path), 0).data.drift is None
    assert len(caplog.messages) == 1
    assert profile_device(device(tmp_path), 0).data.drift is not None
