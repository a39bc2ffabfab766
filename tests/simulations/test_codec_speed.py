"""The speed half: what is timed is a whole update, and every figure is of the same run."""

from math import prod

import numpy as np
import pytest

from fedtailor.simulations import codec_speed
from fedtailor.simulations.codec_methods import METHODS
from fedtailor.simulations.codec_speed import bench_speed, made_up_update, network_schema


@pytest.mark.parametrize("parameters", [100, 12_345, 1_000_000])
def test_the_network_has_exactly_so_many_parameters_in_many_tensors(parameters):
    schema = network_schema(parameters)
    assert sum(map(prod, schema.shapes)) == schema.size == parameters
    assert len(schema.names) == 12
    assert max(schema.sizes) < 0.6 * parameters


def test_equal_seeds_make_up_equal_updates_in_the_schemas_shapes():
    schema = network_schema(5_000)
    first, again = (made_up_update(schema, np.random.default_rng(1)) for _ in range(2))
    assert tuple(tensor.shape for tensor in first) == schema.shapes
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_there_is_a_row_for_every_size_and_method(monkeypatch):
    monkeypatch.setattr(codec_speed, "FEWEST_VALUES", 10_000)
    monkeypatch.setattr(codec_speed, "REPEATS", 3)
    told = []
    codecs = {name: METHODS[name].uplink.codec for name in ("fp32", "int8", "stc")}
    rows = bench_speed(codecs, (1_000, 5_000), lambda *said: told.append(said))
    assert [(row.parameters, row.method) for row in rows] == [
        (size, name) for size in (1_000, 5_000) for name in ("fp32", "int8", "stc")
    ]
    assert [row.payload_bytes for row in rows if row.method == "fp32"] == [4_000, 20_000]
    assert all(min(row.encode_mb_s, row.decode_mb_s, row.memcpy_mb_s, row.encode_of_memcpy) > 0 for row in rows)
    assert (told[0][1], told[-1][1]) == (0, 2)
