import json
import shutil

import onnxruntime as ort
import psutil
import pytest

import fedtailor.client.probe as probe_module
from fedtailor.client.probe import probe
from fedtailor.client.store import DeviceStore
from fedtailor.protos.device_profile import Benchmark


@pytest.fixture
def store(tmp_path):
    return DeviceStore(tmp_path)


@pytest.fixture
def measurements(monkeypatch):
    """The benchmark replaced by a counter: its n-th measurement is n everywhere."""
    taken = []

    def measure():
        taken.append(1)
        return Benchmark(**dict.fromkeys(Benchmark.__dataclass_fields__, float(len(taken))))

    monkeypatch.setattr(probe_module, "benchmark", measure)
    return taken


def test_a_profile_says_what_this_process_may_use(store, measurements):
    profile = probe("d", "kiosk", store=store)
    assert (profile.device_id, profile.device_class) == ("d", "kiosk")
    assert 1 <= profile.cores <= psutil.cpu_count()
    assert 0 < profile.ram_bytes <= psutil.virtual_memory().total
    assert 0 < profile.storage_free_bytes <= shutil.disk_usage(store.folder).total
    assert "CPUExecutionProvider" in profile.providers
    assert profile.battery_fraction is None or 0 <= profile.battery_fraction <= 1
    assert (profile.slowdown_modelled, profile.energy_pj_per_mac_modelled) == (1.0, None)


def test_without_a_store_it_measures_each_time(measurements):
    assert probe("d").benchmark.cpu_s == 1.0
    assert probe("d").benchmark.cpu_s == 2.0


def test_with_a_store_it_measures_once(store, measurements):
    assert probe("d", store=store).benchmark == probe("d", store=store).benchmark
    assert len(measurements) == 1


def test_another_processor_is_measured_anew(store, measurements, monkeypatch):
    probe("d", store=store)
    monkeypatch.setattr(probe_module, "this_processor", lambda: ("another", ()))
    assert probe("d", store=store).benchmark.cpu_s == 2.0


def test_another_runtime_is_measured_anew(store, measurements, monkeypatch):
    probe("d", store=store)
    monkeypatch.setattr(ort, "__version__", "0.0")
    assert probe("d", store=store).benchmark.cpu_s == 2.0


def test_free_storage_and_battery_are_read_every_time(store, measurements, monkeypatch):
    probe("d", store=store)
    monkeypatch.setattr(probe_module, "_battery_fraction", lambda: 0.5)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(3, 2, 1))
    profile = probe("d", store=store)
    assert (profile.battery_fraction, profile.storage_free_bytes) == (0.5, 1)


@pytest.mark.parametrize(
    "kept", [b"", b"{}", b"[1]", b"\xff", b'{"benchmark": 3}', json.dumps({"benchmark": {}}).encode()]
)
def test_a_kept_benchmark_of_another_form_is_measured_anew(store, measurements, kept):
    store.put("hardware", kept)
    assert probe("d", store=store).benchmark.cpu_s == 1.0
    assert probe("d", store=store).benchmark.cpu_s == 1.0


def test_a_kept_benchmark_with_other_figures_is_measured_anew(store, measurements):
    profile = probe("d", store=store)
    content = json.loads(store.get("hardware"))
    content["benchmark"]["gemm_fp64"] = content["benchmark"].pop("cpu_s")
    store.put("hardware", json.dumps(content).encode())
    assert probe("d", store=store).benchmark.cpu_s == profile.benchmark.cpu_s + 1


def test_a_damaged_kept_benchmark_is_measured_anew(store, measurements):
    probe("d", store=store)
    (store.folder / "values" / "hardware").write_bytes(b"damaged")
    assert probe("d", store=store).benchmark.cpu_s == 2.0


def test_ram_is_no_more_than_the_groups_limit(measurements, monkeypatch):
    monkeypatch.setattr(probe_module, "memory_limit_bytes", lambda: 1000)
    assert probe("d").ram_bytes == 1000
