import pytest
from small_latencies import modelled_latencies
from small_nets import SPECS, built_in, rows_for

from fedtailor.client.layer_choices import layer_choices
from fedtailor.strategies.compression.code_weights import code
from fedtailor.strategies.compression.prune import prune
from fedtailor.strategies.payload.payload import pack
from fedtailor.strategies.planning.cost_model import float_bytes
from fedtailor.strategies.planning.plan_layers import Limits, allot

TARGETS = (1 / 6, 1 / 15)


class Table:
    """Latencies that are modelled."""

    def latencies(self, net, rows):
        return modelled_latencies(net)


@pytest.mark.parametrize("name", ["mlp", "conv1d regression"])
def test_every_target_has_an_allotment_that_is_about_as_small(name):
    net = built_in(name)[1]
    x = rows_for(net, 24)
    choices = layer_choices(net, x, SPECS[name], Table())
    planned = [allot(choices, Limits(target * float_bytes(net))) for target in TARGETS]
    sizes = [len(pack(code(prune(net, x, each.keep)[0], x, each.coding))) for each in planned]
    for target, size in zip(TARGETS, sizes, strict=True):
        assert size <= 1.08 * target * float_bytes(net) + 60
    assert sizes[1] < sizes[0]
