"""The peer: skipped by name where it is missing, and held against the best of ours at no larger error."""

import sys
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
from small_fleet import small_fleet

from fedtailor.protos.schema import Schema
from fedtailor.simulations import codec_peers
from fedtailor.simulations.codec_peers import NNCODEC, Match, Vector, match_peers, matched, our_points, relative_error
from fedtailor.strategies.codec.codec import coder_of
from fedtailor.strategies.codec.context import blank

SCHEMA = Schema(("a", "b"), ((40, 20), (20,)))
RNG = np.random.default_rng(0)
VECTOR = Vector("normal", [RNG.normal(size=shape).astype(np.float32) for shape in SCHEMA.shapes], blank(SCHEMA))


@pytest.fixture
def match(tmp_path):
    return Match(fleet=small_fleet(tmp_path), per_round=2, rounds=2)


@pytest.fixture
def stand_in(monkeypatch):
    """A peer that keeps values as they are, in 3 bytes each."""
    package, module = ModuleType(NNCODEC), ModuleType(f"{NNCODEC}.nn")
    held = {}

    def encode(tensors, settings, *, incremental):
        print("chatter")
        size = 3 * sum(tensor.size for tensor in tensors.values())
        held[size] = {name: tensor * (1 + 0.01 * settings["qp"]) for name, tensor in tensors.items()}
        return bytearray(size)

    module.encode, module.decode = encode, lambda written: held[len(written)]
    monkeypatch.setitem(sys.modules, NNCODEC, package)
    monkeypatch.setitem(sys.modules, f"{NNCODEC}.nn", module)
    return module


def test_a_missing_peer_is_a_row_that_says_how_to_install_it(match, monkeypatch):
    monkeypatch.setattr(codec_peers, "NNCODEC", "nowhere_to_be_found")
    (row,) = match_peers(match)
    assert row.note.startswith("not installed: pip install")
    assert row.error is None


def test_a_peer_that_breaks_is_a_row_with_its_reason(match, stand_in, monkeypatch):
    def broken(*_, **__):
        raise ValueError("no such tensor")

    monkeypatch.setattr(stand_in, "encode", broken)
    (row,) = matched(match)
    assert row.note == "ValueError: no such tensor"


def test_ours_is_the_one_with_the_fewest_bytes_at_no_larger_error(match, stand_in, capsys, monkeypatch):
    monkeypatch.setattr(codec_peers, "STEPS", (-30, -10))
    monkeypatch.setattr(codec_peers, "CANDIDATES", codec_peers.CANDIDATES[::9])
    rows = matched(match)
    assert len(rows) == 2 * 2 * codec_peers.DEVICES
    assert {row.update.rsplit(" ", 1)[0] for row in rows} == {"fresh", "with residual"}
    assert [round(row.error, 2) for row in rows[:2]] == [0.3, 0.1]
    found = [row for row in rows if row.our_bytes is not None]
    assert found
    assert all(row.our_error <= row.error for row in found)
    assert all(row.note for row in rows if row.our_bytes is None)
    assert capsys.readouterr().out == ""


def test_our_points_count_the_envelope_and_cover_fine_and_coarse_errors(monkeypatch):
    monkeypatch.setattr(codec_peers, "CANDIDATES", codec_peers.CANDIDATES[::5])
    points = our_points(VECTOR)
    errors = sorted(point.error for point in points)
    assert errors[0] < 0.1
    assert errors[-1] > 0.9
    assert all(point.size_bytes > 40 for point in points)


def test_a_relative_error_is_that_of_all_tensors_together():
    assert relative_error([np.float32([3]), np.float32([4])], [np.float32([0]), np.float32([4])]) == pytest.approx(0.6)
    assert relative_error([np.zeros(2, np.float32)], [np.zeros(2, np.float32)]) == 0


def test_candidates_are_codecs_that_are_known():
    assert all(coder_of(spec) for spec in codec_peers.CANDIDATES)


@pytest.mark.skipif(find_spec(NNCODEC) is None, reason=f"nncodec is not installed: {codec_peers.INSTALL}")
def test_nncodec_reads_back_what_it_wrote_and_is_finer_with_a_lower_qp(match):
    rows = match_peers(match)
    errors = [row.error for row in rows if row.update == "fresh 0"]
    assert errors == sorted(errors)
    assert errors[0] < 0.1
