"""The comparison: every method on the same base and rows, a row for each, whatever breaks."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from broken_peers import MISSING, RAISES
from small_variants import EFFICIENCY, REFERENCE

from fedtailor.client.fleet_arrays import FleetArrays
from fedtailor.client.fleet_file import write_fleet_file
from fedtailor.protos.errors import DataError
from fedtailor.protos.mask import KeptChannels, Mask
from fedtailor.protos.net import Conv, Linear
from fedtailor.protos.plan import Recipe
from fedtailor.protos.samples import Samples
from fedtailor.simulations import contest
from fedtailor.simulations.central import PLAN, devices_of, pooled, train_base
from fedtailor.simulations.contest import smallest_bytes
from fedtailor.simulations.fleet import fleet_from
from fedtailor.simulations.peers.peer import PEERS
from fedtailor.simulations.train_small import fresh, middle_rung, train_small
from fedtailor.simulations.variant_row import VariantRow, by_method, spread
from fedtailor.simulations.variants import Terms, bench_variants
from fedtailor.simulations.variants_plot import variants_svg
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.model import build, initial_state, load_state

LADDER = (Recipe(name="int8", shrink=1, precision="int8"), Recipe(name="x12", shrink=12, distil_steps=10))


def arrays(*, split=None):
    """Rows of three devices whose class is the sign of the first feature."""
    x = np.random.default_rng(0).normal(size=(360, 6)).astype(np.float32)
    return FleetArrays(x=x, y=(x[:, 0] > 0).astype(np.int64), device=np.repeat(["a", "b", "c"], 120), split=split)


@pytest.fixture
def fleet(tmp_path):
    write_fleet_file(tmp_path / "rows.npz", arrays())
    asked = fleet_from({"data": str(tmp_path / "rows.npz")})
    return replace(asked, job=replace(asked.job, recipes=LADDER))


def row(**figures):
    return VariantRow(**{"data": "d", "model": "m", "seed": 0, "method": "fp32", "metric": "accuracy", **figures})


def test_every_method_has_a_row_and_broken_peers_say_why(fleet, monkeypatch):
    monkeypatch.setattr(contest, "LATENCY_S", 0.02)  # figures need not be good here
    monkeypatch.setattr(contest, "MEMORY_S", 0.02)
    terms = Terms(peers=(PEERS["ort-static"], MISSING, RAISES), seeds=1, epochs=4, calibration=40, beyond=())
    heard = []
    rows = bench_variants(fleet, terms, lambda stage, done, total, note: heard.append((stage, done, total, note)))
    found = by_method(rows)
    methods = [method for _, _, method in found]
    assert methods[:4] == ["fp32", "ort-static", "missing", "raises"]
    assert {"fedtailor int8", "fedtailor x12", "train small"} <= set(methods)
    assert all(len(of) == 1 for of in found.values())
    notes = {one.method: one.note for one in rows if one.test_score is None}
    assert notes == {"missing": "not installed: pip install it", "raises": "ValueError: no such operator"}
    assert heard[0][1] == 0
    assert heard[-1][1] == heard[-1][2]
    for one in rows:
        if one.method == "fp32":
            assert (one.share, one.payload_ratio, one.verdict) == (1.0, 1.0, "")
        if one.test_score is not None:
            assert min(one.payload_bytes, one.file_bytes, one.latency_ratio, one.cpu_s) > 0
    sizes = {one.method: one.payload_ratio for one in rows}
    assert sizes["fedtailor x12"] > sizes["ort-static"] > 1


def test_rows_without_a_test_split_are_refused(tmp_path, fleet):
    write_fleet_file(tmp_path / "rows.npz", arrays(split=np.tile(np.uint8([0, 0, 1]), 120)))
    with pytest.raises(DataError, match="expected validation and test rows to compare methods on, got 120 and 0"):
        bench_variants(fleet, Terms(peers=(), seeds=1, epochs=1, calibration=9), lambda *_: None)


def test_pooling_keeps_every_row_of_every_split_once(fleet):
    devices = devices_of(fleet)
    whole = pooled(devices)
    for split in ("train", "validation", "test"):
        parts = [getattr(device, split) for device in devices]
        assert np.array_equal(getattr(whole, split).y, np.concatenate([part.y for part in parts]))
        assert np.array_equal(getattr(whole, split).x, np.concatenate([part.x for part in parts]))


def small_case(fleet):
    devices = devices_of(fleet)
    spec = train_base(devices, None, replace(PLAN, epochs=1), seed=0).spec
    module = build(spec)
    load_state(module, initial_state(spec, 0))
    return trace(module, spec), spec, pooled(devices)


def test_the_middle_rung_that_only_lost_channels_gives_the_sizes():
    def rung(payload_bytes, *kept):
        layers = tuple(KeptChannels(layer=f"fc{at}", total=9, kept=left) for at, left in enumerate(kept))
        takes = replace(EFFICIENCY, payload_bytes=payload_bytes)
        return replace(REFERENCE, efficiency=takes, mask=Mask(layers=layers))

    whole, without_a_layer = rung(50), rung(20, (1, 2), ())
    a, b, c = rung(10, (1,)), rung(30, (1, 2)), rung(40, (1, 2, 3))
    assert middle_rung([whole, c, without_a_layer, a, b]) is b
    assert middle_rung([whole, without_a_layer]) is None


def test_a_small_model_has_the_masks_sizes_and_learns_from_the_start(fleet):
    net, spec, rows = small_case(fleet)
    first = next(layer for layer in net.layers if isinstance(layer, Linear))
    mask = Mask(layers=(KeptChannels(layer=first.name, total=len(first.bias), kept=(1, 4, 5)),))
    small = train_small(net, mask, rows.train, spec, replace(PLAN, epochs=12), seed=0)
    layers = [layer for layer in small.layers if isinstance(layer, Linear)]
    assert layers[0].weight.shape == (3, 6)
    assert layers[1].weight.shape[1] == 3
    assert accuracy(small, rows.test) > 0.85
    again = train_small(net, mask, rows.train, spec, replace(PLAN, epochs=12), seed=0)
    assert np.array_equal(layers[0].weight, again.layers[small.layers.index(layers[0])].weight)


def test_fresh_weights_keep_nothing_of_the_old_ones(fleet):
    net, _, _ = small_case(fleet)
    for old, new in zip(net.layers, fresh(net, seed=1).layers, strict=True):
        if isinstance(old, Conv | Linear):
            assert new.weight.shape == old.weight.shape
            assert abs(np.corrcoef(new.weight.ravel(), old.weight.ravel())[0, 1]) < 0.3
            assert not new.bias.any()


def accuracy(net, rows: Samples):
    import torch

    with torch.no_grad():
        return float((realise(net)(torch.from_numpy(rows.x)).numpy().argmax(1) == rows.y).mean())


def test_a_peers_payload_is_its_file_or_the_deflated_file_whichever_is_smaller():
    noise = np.random.default_rng(0).bytes(1000)
    assert smallest_bytes(noise) == 1000
    assert smallest_bytes(bytes(1000)) < 30


def test_a_spread_is_over_the_rows_that_have_the_figure():
    rows = [row(test_score=0.8), row(test_score=0.9), row(note="broke")]
    found = spread(rows, "test_score")
    assert found is not None
    assert found.mean == pytest.approx(0.85)
    assert found.deviation == pytest.approx(0.0707, abs=1e-4)
    assert spread(rows, "payload_bytes") is None
    assert spread(rows[:1], "test_score").deviation == 0


def test_the_picture_is_xml_with_a_mark_for_every_variant_and_none_for_a_broken_one():
    figures = {"share": 0.99, "payload_ratio": 4.0, "verdict": "proven"}
    methods = ("fp32", "ort-static", "fedtailor x8", "train small")
    svg = variants_svg([*(row(method=method, **figures) for method in methods), row(method="broken", note="why")])
    marks = [mark for mark in ElementTree.fromstring(svg).iter() if "mark" in mark.get("class", "").split()]
    assert len(marks) == 4
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
