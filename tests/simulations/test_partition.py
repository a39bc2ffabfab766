"""Dealing rows to devices: complete, seeded, skewed alike in every split."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.protos.errors import ConfigError
from fedtailor.simulations.partition import Partition, parse_partition, partition

SPECS = ("iid", "dirichlet:0.3", "dirichlet:0.05", "shards:2")


def rows(count=3000, classes=10, seed=0):
    rng = np.random.default_rng(seed)
    x = np.arange(count, dtype=np.float32)[:, None]
    return FleetArrays(
        x=x, y=rng.integers(0, classes, count), split=rng.choice(3, count, p=[0.6, 0.15, 0.25]).astype(np.uint8)
    )


def shares(arrays, part):
    """Class shares of each device in one split, [devices, classes]."""
    mine = arrays.split == part
    table = np.zeros((len(np.unique(arrays.device)), arrays.outputs))
    np.add.at(table, (np.unique(arrays.device, return_inverse=True)[1][mine], arrays.y[mine]), 1)
    return table / table.sum(1, keepdims=True)


@given(spec=st.sampled_from(SPECS), devices=st.integers(1, 20), seed=st.integers(0, 2**32), count=st.integers(200, 400))
def test_every_row_has_one_owner_and_every_device_a_few_rows_in_each_split(spec, devices, seed, count):
    given_rows = rows(count, seed=seed)
    dealt = partition(given_rows, spec, devices, seed)
    assert np.array_equal(dealt.x, given_rows.x)
    assert np.array_equal(dealt.split, given_rows.split)
    names, owner = np.unique(dealt.device, return_inverse=True)
    assert names.tolist() == [f"device-{number:02d}" for number in range(devices)]
    for part, fewest in enumerate((8, 4, 4)):
        counts = np.bincount(owner[dealt.split == part], minlength=devices)
        assert counts.min() >= min(fewest, (dealt.split == part).sum() // devices)


@pytest.mark.parametrize("spec", SPECS)
def test_equal_seeds_deal_equally_and_others_do_not(spec):
    one, same, other = (partition(rows(), spec, 8, seed).device for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("spec", ["dirichlet:0.3", "shards:2"])
def test_what_a_device_is_tested_on_is_skewed_like_what_it_trains_on(spec):
    dealt = partition(rows(20_000), spec, 10, 0)
    train, test = shares(dealt, 0), shares(dealt, 2)
    to_itself = np.abs(train - test).sum(1).mean()
    to_others = np.abs(train - np.roll(test, 1, 0)).sum(1).mean()
    assert to_itself < 0.2
    assert to_others > 0.8


def test_a_lower_concentration_is_a_stronger_skew_and_iid_is_none():
    largest = [
        shares(partition(rows(20_000), spec, 10, 0), 0).max(1).mean()
        for spec in ("dirichlet:0.1", "dirichlet:1", "iid")
    ]
    assert largest[0] > largest[1] > largest[2]
    assert largest[2] < 0.15


def test_shards_leave_a_device_few_classes():
    dealt = partition(rows(20_000), "shards:2", 10, 0)
    assert (shares(dealt, 0) > 0.02).sum(1).max() <= 4


def test_regression_targets_are_skewed_by_quantile():
    y = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    dealt = partition(replace(rows(), y=y), "shards:1", 10, 0)
    spread = [y[dealt.device == name].std() for name in np.unique(dealt.device)]
    assert np.mean(spread) < 0.4 * y.std()


def test_next_token_rows_are_dealt_too():
    y = np.random.default_rng(0).integers(0, 30, (3000, 5))
    dealt = partition(replace(rows(), x=y, y=y), "dirichlet:0.3", 10, 0)
    assert len(np.unique(dealt.device)) == 10


def test_without_a_split_each_class_splits_60_15_25_in_file_order():
    dealt = partition(replace(rows(), split=None), "iid", 5, 0)
    for name in range(10):
        mine = dealt.split[dealt.y == name].astype(int)
        assert (np.diff(mine) >= 0).all()
        assert np.abs(np.bincount(mine) / len(mine) - [0.6, 0.15, 0.25]).max() < 0.01


def test_about_says_how_the_rows_were_dealt():
    assert partition(rows(), "iid", 5, 3).about.endswith("dealt iid to 5 devices, seed 3")


@pytest.mark.parametrize(
    "spec",
    ["", "iid:2", "even", "Dirichlet:0.3", "dirichlet", "dirichlet:", "dirichlet:0", "dirichlet:-1", "dirichlet:nan"],
)
def test_a_spec_that_is_none_of_the_three_is_named(spec):
    with pytest.raises(ConfigError, match=r"partition: expected iid, dirichlet:0\.3 .* or shards:2 .*got ") as caught:
        parse_partition(spec)
    assert repr(spec) in str(caught.value)


@pytest.mark.parametrize("spec", ["dirichlet:inf", "shards:1.5", "shards:0", "shards:x", "shards:2:3", "shards:inf"])
def test_an_amount_that_no_deal_can_use_is_named(spec):
    with pytest.raises(ConfigError, match=f"got '{spec}'"):
        parse_partition(spec)


def test_specs_come_apart():
    assert parse_partition("dirichlet:0.3") == Partition("dirichlet", 0.3)
    assert parse_partition("shards:2") == Partition("shards", 2)
    assert parse_partition("iid") == Partition("iid", 0)


@pytest.mark.parametrize("devices", [0, 100_000])
def test_more_devices_than_rows_to_train_on_are_refused(devices):
    with pytest.raises(ConfigError, match=f"devices: expected 1 to .*, got {devices}"):
        partition(rows(), "iid", devices, 0)
