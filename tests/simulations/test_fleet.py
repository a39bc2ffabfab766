"""Fleets as files: what is written is read, and every mistake has its line."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.budget import Budget
from fedtailor.protos.errors import ConfigError
from fedtailor.server.job import job_from
from fedtailor.simulations.catalogue import device_class, read_catalogue
from fedtailor.simulations.fleet import FleetDevice, fleet_from, load_fleet, write_fleet

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
BYTES = st.none() | st.integers(1, 2**40)
NUMBERS = st.none() | st.floats(1e-9, 1e9)


@st.composite
def budgets(draw):
    return Budget(
        latency_ms=draw(NUMBERS),
        size_bytes=draw(BYTES),
        peak_ram_bytes=draw(BYTES),
        energy_mj=draw(NUMBERS),
        uplink_bytes=draw(BYTES),
        accuracy_margin=draw(st.none() | st.floats(1e-6, 1)),
    )


@st.composite
def fleets(draw):
    classes = st.sampled_from(sorted(read_catalogue()))
    ids = draw(st.lists(NAMES, max_size=3, unique=True))
    seed = draw(st.integers(0, 2**31 - 1))
    return replace(
        fleet_from({}),
        name=draw(NAMES),
        data=draw(st.none() | st.just(Path(__file__).resolve())),
        partition=draw(st.sampled_from([None, "iid", "dirichlet:0.3", "shards:2"])),
        devices=draw(st.none() | st.integers(1, 10**6)),
        seed=seed,
        dropout=draw(st.floats(0, 1)),
        availability=draw(st.booleans()),
        slow_fraction=draw(st.floats(0, 1)),
        slow_factor=draw(st.floats(1, 1e6)),
        workers=draw(st.integers(1, 512)),
        members=tuple(
            FleetDevice(
                device_id=name,
                device_class=draw(classes),
                budget=draw(budgets()),
                tags=tuple(draw(st.lists(NAMES, max_size=2))),
            )
            for name in ids
        ),
        job=job_from({"seed": seed, "rounds": draw(st.integers(1, 100)), "about": draw(NAMES)}),
    )


def refusal(tmp_path: Path, text: str) -> str:
    (tmp_path / "fleet.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_fleet(tmp_path / "fleet.toml")
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "fleet.toml"))
    assert "\n" not in message
    return message.removeprefix(f"{tmp_path / 'fleet.toml'}: ")


@given(fleet=fleets())
def test_what_is_written_is_read(tmp_path_factory, fleet):
    path = tmp_path_factory.mktemp("fleet") / "config.toml"
    write_fleet(path, fleet)
    assert load_fleet(path) == fleet


def test_an_empty_table_is_the_default_fleet():
    fleet = fleet_from({})
    assert (fleet.name, fleet.data, fleet.partition, fleet.devices, fleet.members) == ("watch", None, None, None, ())
    assert (fleet.dropout, fleet.availability, fleet.slow_fraction) == (0.0, False, 0.0)
    assert fleet.workers >= 1


def test_the_job_takes_name_and_seed_from_the_fleet_unless_it_has_its_own():
    assert fleet_from({"seed": 7, "name": "shops"}).job == replace(job_from({}), seed=7, name="shops")
    assert fleet_from({"seed": 7, "job": {"seed": 3}}).job.seed == 3


def test_a_relative_path_starts_at_the_file(tmp_path):
    (tmp_path / "rows.npz").touch()
    (tmp_path / "fleet.toml").write_text('data = "rows.npz"')
    fleet = load_fleet(tmp_path / "fleet.toml")
    assert (fleet.data, fleet.name) == ((tmp_path / "rows.npz").resolve(), "rows")


def test_a_budget_changes_its_class_and_none_lifts_a_limit():
    table = {"id": "a", "class": "smart-watch", "budget": {"latency_ms": 2, "size_bytes": "none"}}
    (member,) = fleet_from({"device": [table]}).members
    assert member.budget == replace(device_class("smart-watch").budget, latency_ms=2.0, size_bytes=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rouds = 3", "unknown key 'rouds'; known: name, data"),
        ("partitions = 'iid'", "unknown key 'partitions'; did you mean 'partition'?"),
        ("name = 3", "name: expected text, got 3"),
        ("data = 'nowhere.npz'", "data: expected a fleet file (.npz), got '"),
        ("partition = 'even'", "partition: expected iid, dirichlet:0.3 "),
        ("devices = 0", "devices: expected a whole number of at least 1, got 0"),
        ("devices = true", "devices: expected a whole number of at least 1, got True"),
        ("seed = -1", "seed: expected a whole number from 0 to 2147483647, got -1"),
        ("dropout = 1.5", "dropout: expected a number from 0 to 1, got 1.5"),
        ("dropout = nan", "dropout: expected a number from 0 to 1, got nan"),
        ("slow_factor = 0.5", "slow_factor: expected a number of at least 1, got 0.5"),
        ("slow_factor = inf", "slow_factor: expected a number of at least 1, got inf"),
        ("availability = 1", "availability: expected true or false, got 1"),
        ("workers = 0", "workers: expected a whole number of at least 1, got 0"),
        ("job = 3", "job: expected a table, got 3"),
        ("[job]\nround = 3", "job.round: unknown key; did you mean 'rounds'?"),
        ("device = 3", "device: expected tables, each under a line [[device]], got 3"),
        ("[[device]]\nid = 'a'", "device 1: class: expected text, got nothing"),
        ("[[device]]\nclass = 'phone'", "device 1: id: expected text, got nothing"),
        ("[[device]]\nid = 'a'\nclass = 'toaster'", "device 1: class: device class 'toaster' is not in the catalogue"),
        ("[[device]]\nid = 'a'\nclass = 'phone'\n" * 2, "device: expected each id once, got 'a'"),
        (
            "[[device]]\nid = 'a'\nclass = 'phone'\ntags = 'till'",
            "device 1: tags: expected a list of texts, got 'till'",
        ),
        ("[[device]]\nid = 'a'\nclass = 'phone'\ntags = ['']", "device 1: tags: expected a list of texts, got ['']"),
        (
            "[[device]]\nid = 'a'\nclass = 'phone'\nbudget.latency = 1",
            "device 1: budget: unknown key 'latency'; did you mean",
        ),
        (
            "[[device]]\nid = 'a'\nclass = 'phone'\nbudget.latency_ms = 0",
            "device 1: budget: Budget.latency_ms must be above 0",
        ),
        (
            "[[device]]\nid = 'a'\nclass = 'phone'\nbudget.size_bytes = 1.5",
            "device 1: budget: size_bytes: expected a whole",
        ),
    ],
)
def test_a_mistake_gets_one_line_that_names_file_key_expected_and_got(tmp_path, text, message):
    assert refusal(tmp_path, text).startswith(message)


def test_broken_toml_names_the_line(tmp_path):
    assert "line 2" in refusal(tmp_path, "seed = 1\nname = \n")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: expected a fleet as TOML, got No such file"):
        load_fleet(tmp_path / "nowhere.toml")
