import pytest
from small_latencies import modelled_latencies
from small_nets import SPECS, built_in, rows_for

from fedtailor.client import plan_rungs
from fedtailor.client.plan_rungs import plan_allotments
from fedtailor.strategies.compression.code_weights import code
from fedtailor.strategies.compression.prune import prune
from fedtailor.strategies.payload.payload import pack
from fedtailor.strategies.planning.cost_model import float_bytes

TARGETS = (1 / 6, 1 / 15)


class Table:
    """Latencies that are modelled."""

    def latencies(self, net, rows):
        return modelled_latencies(net)


@pytest.mark.parametrize("name", ["mlp", "conv1d regression"])
def test_every_target_has_an_allotment_that_is_about_as_small(name):
    net = built_in(name)[1]
    x = rows_for(net, 24)
    planned = plan_allotments(net, x, SPECS[name], targets=TARGETS, latency_table=Table())
    assert tuple(planned) == TARGETS
    sizes = [len(pack(code(prune(net, x, each.keep)[0], x, each.coding))) for each in planned.values()]
    for target, size in zip(TARGETS, sizes, strict=True):
        assert size <= 1.08 * target * float_bytes(net) + 60
    assert sizes[1] < sizes[0]


def test_sensitivities_are_measured_once_for_all_targets(monkeypatch):
    net = built_in("mlp")[1]
    measured, plain = [], plan_rungs.sensitivities
    monkeypatch.setattr(plan_rungs, "sensitivities", lambda *given: measured.append(1) or plain(*given))
    plan_allotments(net, rows_for(net, 24), SPECS["mlp"], targets=TARGETS, latency_table=Table())
    assert len(measured) == 1
