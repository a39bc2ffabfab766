import numpy as np
import pytest
from small_nets import built_in, rows_for, thinned

from fedtailor.client import measure as measuring
from fedtailor.client.export import to_onnx
from fedtailor.client.measure import alternating, latency_ratio, measure
from fedtailor.client.runtime import optimised


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
    assert len(model) <= cost.memory_bytes_measured < 1 << 30


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


def test_a_session_too_small_for_a_page_takes_no_less_than_its_file(net, monkeypatch):
    monkeypatch.setattr(measuring, "session_memory", lambda _opened, _seconds: 0)
    model = to_onnx(net)
    assert measure(model, b"", rows_for(net, 1), 1, seconds=0.0).memory_bytes_measured == len(model)


def test_the_ratio_says_which_of_two_is_much_faster(net):
    heavy, light = to_onnx(net), to_onnx(thinned(net, 0.1))
    sample = rows_for(net, 1)
    assert latency_ratio(heavy, light, sample, seconds=0.05) > 1
    assert latency_ratio(light, heavy, sample, seconds=0.05) < 1


def test_a_ratio_close_to_one_is_measured_again_with_either_first_and_what_stays_close_is_one(monkeypatch):
    speeds = {b"reference": 10.0, b"candidate": 10.1}
    asked = []

    def timed(models, *_, **__):
        asked.append(tuple(models))
        return tuple(speeds[model] for model in models)

    monkeypatch.setattr(measuring, "latencies_us", timed)
    sample = np.zeros(1)
    assert latency_ratio(b"reference", b"candidate", sample) == 1.0
    assert asked[1:] == [(b"reference", b"candidate")] * 2 + [(b"candidate", b"reference")] * 2
    speeds[b"candidate"] = 10.4
    assert latency_ratio(b"reference", b"candidate", sample) == pytest.approx(10 / 10.4)
    asked.clear()
    speeds[b"candidate"] = 5.0
    assert latency_ratio(b"reference", b"candidate", sample) == 2.0
    assert len(asked) == 1


def test_a_session_that_is_always_faster_for_being_first_makes_no_difference(monkeypatch):
    monkeypatch.setattr(measuring, "latencies_us", lambda models, *_, **__: (10.0, 10.3))
    assert latency_ratio(b"reference", b"candidate", np.zeros(1)) == 1.0


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
    assert len(runs) <= 1 + 4 * 4 + 1 + 3 + 3 + 20 + 3 * 200


class Meter:
    """A counter that stands still while the machine is idle, and then moves by two joules."""

    name, window_s = "meter", 0.0

    def __init__(self):
        self.readings = iter((0.0, 0.0, 1.0, 3.0))

    def read(self):
        return (next(self.readings),)

    def joules(self, before, after):
        return after[0] - before[0]


def test_energy_is_measured_where_there_is_a_counter_and_stands_beside_what_is_modelled(net):
    model, sample = to_onnx(net), rows_for(net, 1)
    assert measure(model, b"", sample, 1, seconds=0.0).energy_mj_measured is None
    cost = measure(model, b"", sample, 2_000_000, seconds=0.0, energy_pj_per_mac=5.0, counter=Meter())
    assert cost.energy_mj_modelled == pytest.approx(0.01)
    assert cost.energy_mj_measured == pytest.approx(2000)


def test_runs_are_timed_in_turn_and_neither_always_first():
    order = []
    times = alternating([lambda: order.append("a"), lambda: order.append("b"), lambda: order.append("c")], seconds=0.0)
    assert len(times) == 3
    assert min(times) > 0
    blocks = [name for name, before in zip(order, [None, *order], strict=False) if name != before]
    assert blocks == [*"abc", *"abc", *"cba"[1:], *"abc"[1:]]


def test_an_artefact_in_the_runtimes_own_form_is_measured_too(net):
    own = optimised(to_onnx(net))
    cost = measure(own, b"", rows_for(net, 1), 1, seconds=0.02)
    assert cost.file_bytes == len(own)
    assert cost.latency_p50_us_measured > 0
