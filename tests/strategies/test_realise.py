import numpy as np
import pytest
import torch
from small_nets import SPECS, built_in, rows_for, thinned

from fedtailor.protos.errors import PlanError
from fedtailor.protos.net import Conv, Net
from fedtailor.strategies.models.model import read_state
from fedtailor.strategies.payload import pack
from fedtailor.strategies.realise import realise, trace_back


@pytest.mark.parametrize("name", SPECS)
def test_the_realised_module_computes_what_the_traced_one_does(name):
    module, net = built_in(name)
    x = torch.from_numpy(rows_for(net, 5))
    with torch.no_grad():
        assert torch.equal(realise(net)(x), module(x))


@pytest.mark.parametrize("name", SPECS)
def test_a_thinned_net_comes_back_from_its_module_unchanged(name):
    net = thinned(built_in(name)[1], 0.5)
    assert pack(trace_back(realise(net), net)) == pack(net)


@pytest.mark.parametrize("name", SPECS)
def test_parameters_keep_their_names_and_can_be_trained(name):
    module, net = built_in(name)
    realised = realise(net)
    assert read_state(realised).keys() == read_state(module).keys()
    realised(torch.from_numpy(rows_for(net, 3))).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in realised.parameters())


def test_training_the_module_leaves_the_net_as_it_was():
    net = built_in("mlp")[1]
    before = pack(net)
    module = realise(net)
    torch.nn.init.zeros_(module.head.weight)
    assert pack(net) == before
    assert not trace_back(module, net).layers[-1].weight.any()


def test_no_random_number_is_drawn():
    net = built_in("next-token")[1]
    before = torch.random.get_rng_state()
    realise(net)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_padding_that_torch_lacks_is_refused():
    conv = Conv("odd", np.ones((1, 1, 3), np.float32), np.ones(1, np.float32), (1,), ((0, 2),), (1,), 1)
    with pytest.raises(PlanError, match=r"'odd'.*causal"):
        realise(Net((1, 8), False, (conv,)))
