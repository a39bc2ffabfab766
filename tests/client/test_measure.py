import numpy as np
import pytest
from small_nets import built_in, rows_for, thinned

from fedtailor.client.export import to_onnx
from fedtailor.client.measure import latency_ratio, measure


@pytest.fixture(scope="module")
def net():
    return built_in("conv2d strided")[1]


def test_what_is_counted_is_exact_and_what_is_measured_is_there(net):
    model = to_onnx(net)
    cost = measure(model, b"12345", rows_for(net, 1), 777, seconds=0.02)
    assert (cost.payload_bytes, cost.file_bytes, cost.macs) == (5, len(model), 777)
    assert 0 < cost.latency_p50_us_measured <= cost.latency_p99_us_measured
    assert cost.cpu_p50_us_measured > 0
    assert cost.load_ms_measured > 0
    assert 0 <= cost.memory_bytes_measured < 1 << 30


def test_on_the_device_itself_nothing_is_modelled(net):
    cost = measure(to_onnx(net), b"", rows_for(net, 1), 777, seconds=0.02)
    assert cost.latency_ms_modelled is None
    assert cost.energy_mj_modelled is None
    assert cost.latency_ms == cost.latency_p50_us_measured / 1000


def test_a_slower_class_and_its_energy_are_modelled(net):
    cost = measure(to_onnx(net), b"", rows_for(net, 1), 2_000_000, slowdown=8.0, energy_pj_per_mac=5.0, seconds=0.02)
    assert cost.latency_ms == cost.latency_ms_modelled == pytest.approx(cost.latency_p50_us_measured * 8 / 1000)
    assert cost.energy_mj_modelled == pytest.approx(0.01)  # 2e6 x 5 pJ = 1e-5 J


@pytest.mark.parametrize("name", ["mlp", "next-token"])
def test_a_sample_comes_with_or_without_its_batch_axis(name):
    net = built_in(name)[1]
    for sample in (rows_for(net, 1), rows_for(net, 1)[0]):
        assert measure(to_onnx(net), b"", sample, 1, seconds=0.02).latency_p50_us_measured > 0


def test_a_bigger_model_takes_more_memory(net):
    small = to_onnx(built_in("mlp")[1])
    sizes = [
        measure(model, b"", rows_for(net_, 1), 1, seconds=0.1).memory_bytes_measured
        for model, net_ in ((to_onnx(net), net), (small, built_in("mlp")[1]))
    ]
    assert sizes[0] > sizes[1]


def test_the_ratio_says_which_of_two_is_much_faster(net):
    heavy, light = to_onnx(net), to_onnx(thinned(net, 0.1))
    sample = rows_for(net, 1)
    assert latency_ratio(heavy, light, sample, seconds=0.05) > 1
    assert latency_ratio(light, heavy, sample, seconds=0.05) < 1


def test_work_is_bounded_by_runs_where_time_is_short(net, monkeypatch):
    runs = []

    class Session:
        def get_inputs(self):
            return [type("Input", (), {"name": "x", "shape": ["N", 3]})]

        def run(self, outputs, feed):
            runs.append(feed["x"].shape)

    monkeypatch.setattr("fedtailor.client.measure.open_session", lambda model: Session())
    measure(b"model", b"", np.zeros(3, np.float32), 1, seconds=0.0)
    assert set(runs) == {(1, 3)}
    assert len(runs) <= 1 + 2 * 2 + 3 + 20 + 3 * 200
