import pytest
from small_nets import built_in, rows_for

from fedtailor.strategies.graph.macs import macs
from fedtailor.strategies.integer.quantise import quantise


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("mlp", 11 * 64 + 64 * 64 + 64 * 4),
        ("conv1d", 40 * 6 * 32 * 5 + 20 * 32 * 64 * 5 + 10 * 64 * 64 * 5 + 64 * 7),
        ("conv2d strided", 256 * 27 * 32 + 64 * 288 * 64 + 16 * 576 * 64 + 64 * 5),
        ("next-token", 24 * (32 * 64 * 4 + 3 * 64 * 64 * 4 + 64 * 30)),
    ],
)
def test_multiply_accumulates_are_counted_per_sample(name, want):
    net = built_in(name)[1]
    assert macs(net) == want
    assert macs(quantise(net, rows_for(net, 4))) == want
