from dataclasses import replace

import pytest

from fedtailor.protos.device_profile import Benchmark, DeviceProfile
from fedtailor.protos.errors import ConfigError
from fedtailor.simulations.catalogue import device_class, read_catalogue, read_device_class, simulated_profile

CATALOGUE = read_catalogue()
INT8_BYTES_OF_THE_DEFAULT_MODEL = 30_266
MEASURED = DeviceProfile(
    device_id="host",
    device_class="this machine",
    machine="Test CPU",
    cores=64,
    isa=("avx2", "avx512f"),
    ram_bytes=10**12,
    storage_free_bytes=10**12,
    battery_fraction=0.5,
    providers=("CPUExecutionProvider",),
    benchmark=Benchmark(**dict.fromkeys(Benchmark.__dataclass_fields__, 7.0)),
)
VALID = """
name = "box"
description = "a box"
processor = "P at 1 GHz"
isa = ["neon"]
cores = 1
ram_bytes = 1
storage_bytes = 1
slowdown = 1.0
network_up_bits_s = 1
network_down_bits_s = 1
availability = 1.0
energy_pj_per_mac = 1.0
budget = { latency_ms = 1.0 }
[sources]
isa = "s"
cores = "s"
ram_bytes = "s"
storage_bytes = "s"
slowdown = "s"
network_up_bits_s = "s"
network_down_bits_s = "s"
availability = "s"
energy_pj_per_mac = "s"
"""


@pytest.fixture(params=CATALOGUE.values(), ids=list(CATALOGUE))
def registered(request):
    return request.param


def test_six_classes_span_retail_and_iot():
    assert list(CATALOGUE) == ["iot-gateway", "kiosk", "phone", "pos-terminal", "shelf-camera", "smart-watch"]


def test_a_class_is_within_what_such_devices_are(registered):
    assert registered.description
    assert registered.processor
    assert set(registered.isa) <= {"avx2", "avx512f", "vnni", "neon", "dotprod"}
    assert 1 <= registered.cores <= 64
    assert 2**28 <= registered.ram_bytes <= 2**36
    assert registered.ram_bytes < registered.storage_bytes
    assert 1 <= registered.slowdown <= 1000
    assert 1e4 <= registered.network_up_bits_s <= registered.network_down_bits_s
    assert 0.5 <= registered.availability <= 1
    assert 1 <= registered.energy_pj_per_mac <= 10_000


def test_every_number_says_where_it_was_published_or_that_it_is_estimated(registered):
    for name, source in registered.sources.items():
        assert hasattr(registered, name)
        assert "estimated" in source or any(mark in source for mark in (".", "Arm", "Intel")), (name, source)


def test_a_class_limits_everything_a_variant_may_cost(registered):
    assert None not in (
        registered.budget.latency_ms,
        registered.budget.size_bytes,
        registered.budget.peak_ram_bytes,
        registered.budget.energy_mj,
        registered.budget.uplink_bytes,
    )
    assert registered.budget.peak_ram_bytes < registered.ram_bytes


def test_a_round_trip_of_the_budgets_bytes_takes_seconds(registered):
    assert 8 * registered.budget.uplink_bytes / registered.network_up_bits_s < 5


def test_two_classes_have_a_margin_of_their_own():
    margins = {name: cls.budget.accuracy_margin for name, cls in CATALOGUE.items() if cls.budget.accuracy_margin}
    assert margins == {"iot-gateway": 0.02, "pos-terminal": 0.005}


def test_budgets_differ_and_the_smallest_forces_pruning():
    sizes = sorted(cls.budget.size_bytes for cls in CATALOGUE.values())
    assert len(set(sizes)) == 6
    assert sizes[0] < INT8_BYTES_OF_THE_DEFAULT_MODEL < sizes[1]


def test_a_simulated_device_is_modelled_and_says_so(registered):
    profile = simulated_profile(MEASURED, "d1", registered)
    assert (profile.device_id, profile.device_class) == ("d1", registered.name)
    assert profile.slowdown_modelled == registered.slowdown
    assert profile.energy_pj_per_mac_modelled == registered.energy_pj_per_mac
    assert (profile.cores, profile.isa, profile.ram_bytes) == (registered.cores, registered.isa, registered.ram_bytes)
    assert profile.machine == f"{registered.processor}, modelled on Test CPU"
    assert (profile.benchmark, profile.providers) == (MEASURED.benchmark, MEASURED.providers)


def test_an_unknown_class_lists_those_there_are():
    with pytest.raises(ConfigError, match="'toaster' is not in the catalogue; known: iot-gateway, kiosk, phone"):
        device_class("toaster")


def test_a_known_class_is_found_by_name(registered):
    assert device_class(registered.name) == registered


def test_a_valid_file_is_read():
    assert read_device_class(VALID, "box.toml").budget.latency_ms == 1.0


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('name = "box"', 'name = "tin"', "name must be the file's, got 'tin'"),
        ('name = "box"', "name = ", "Invalid value"),
        ("cores = 1\n", "", "missing: cores"),
        ("cores = 1\n", "cores = 1\ncolour = 3\n", "unknown: colour"),
        ("cores = 1\n", "cores = 0\n", "cores must be a number above 0, got 0"),
        ("cores = 1\n", 'cores = "four"\n', "cores must be a number above 0, got 'four'"),
        ("availability = 1.0", "availability = 1.5", "availability must be at most 1, got 1.5"),
        ("latency_ms = 1.0", "latency_ms = 0.0", "Budget.latency_ms must be above 0"),
        ("latency_ms = 1.0", "latency_s = 1.0", "unexpected keyword argument 'latency_s'"),
        ('slowdown = "s"', 'slowdown = " "', "sources must name where slowdown came from"),
    ],
)
def test_a_file_at_fault_is_named_with_what_is_wrong(old, new, problem):
    with pytest.raises(ConfigError, match=rf"device class file box.toml: .*{problem}"):
        read_device_class(VALID.replace(old, new, 1), "box.toml")


def test_a_class_is_frozen(registered):
    with pytest.raises(AttributeError):
        registered.cores = 1
    assert replace(registered, cores=1).cores == 1
