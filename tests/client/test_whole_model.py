import numpy as np
import onnx
import pytest
import torch
from small_modules import OUTPUTS, SERIES, Encoder, settled, small_module, spec_of
from torch import nn

from fedtailor.client.runtime import open_session, predict
from fedtailor.client.whole_model import whole_model
from fedtailor.protos.errors import PlanError
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.modules import ChannelsFirst, ChannelsLast

ROWS = np.random.default_rng(0).normal(size=(64, *SERIES)).astype(np.float32)
PROBLEM = PlanError("not traced")


class Memory(nn.Module):
    """A convolution before an LSTM, which a net has no layer for."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(ChannelsFirst(), nn.Conv1d(6, 16, 3, padding=1), nn.ReLU(), ChannelsLast())
        self.memory = nn.LSTM(16, 16, batch_first=True)
        self.head = nn.Linear(16, OUTPUTS)

    def forward(self, x):
        states, _ = self.memory(self.conv(x))
        return self.head(states[:, -1])


class Gate(nn.Module):
    """Which of two layers answers is decided by the values of the batch."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(6, OUTPUTS), nn.Linear(6, OUTPUTS)

    def forward(self, x):
        means = x.mean(dim=1)
        if means.sum() > 0:
            return self.up(means)
        return self.down(means)


def answers(module, rows):
    with torch.no_grad():
        return module.eval()(torch.from_numpy(rows)).numpy()


def traced_problem(module):
    with pytest.raises(PlanError) as raised:
        trace(module, spec_of(SERIES))
    return raised.value


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("kind", [Memory, Gate])
def test_fp32_computes_what_the_module_does_and_int8_nearly(kind, rows):
    module = settled(kind())
    whole = whole_model(module, ROWS, traced_problem(module))
    for batch in np.split(ROWS[: 4 * rows], 4):
        wanted = answers(module, batch)
        np.testing.assert_allclose(predict(open_session(whole.fp32), batch), wanted, atol=1e-5)
        assert np.abs(predict(open_session(whole.int8), batch) - wanted).max() < 0.1 * answers(module, ROWS).std()


def test_a_gate_answers_by_both_sides():
    module = settled(Gate())
    sides = {
        answers(module, row[None]).tobytes()
        == module.up(torch.from_numpy(row[None]).mean(1)).detach().numpy().tobytes()
        for row in ROWS
    }
    assert sides == {True, False}


def test_the_note_is_one_line_that_names_what_was_not_traced():
    module = settled(Memory())
    note = whole_model(module, ROWS, traced_problem(module)).note
    assert "'memory' (LSTM)" in note
    assert "\n" not in note


def test_int8_holds_integer_weights_where_the_runtime_has_kernels():
    whole = whole_model(settled(Memory()), ROWS, PROBLEM)
    model = onnx.load_from_string(whole.int8)
    assert {constant.name for constant in model.graph.initializer if constant.data_type == onnx.TensorProto.INT8}
    assert "LSTM" in {node.op_type for node in model.graph.node}


def test_layers_that_share_their_weights_can_be_opened_in_integers():
    module = Encoder().eval()  # torch starts all its layers with the same numbers, and the exporter keeps one copy
    whole = whole_model(module, ROWS, PROBLEM)
    np.testing.assert_allclose(predict(open_session(whole.int8), ROWS), answers(module, ROWS), atol=0.1)


def test_masked_attention_has_finite_scales():
    module, _ = small_module("writer")
    tokens = np.random.default_rng(0).integers(0, OUTPUTS, (40, 12))
    whole = whole_model(Masked(module), tokens, PROBLEM)
    np.testing.assert_allclose(predict(open_session(whole.int8), tokens), answers(module, tokens), atol=0.1)


class Masked(nn.Module):
    """The writer, its shapes read without a decision that the exporter would compile for."""

    def __init__(self, writer):
        super().__init__()
        self.writer = writer

    def forward(self, tokens):
        w = self.writer
        x = w.embed(tokens) + w.positions.weight[:12]
        x = x + w.attend(w.norm1(x))
        return w.head(w.last(x + w.mix(w.norm2(x))))


def test_the_module_is_left_as_it_was():
    module = Memory().train()
    fused = torch.backends.mha.get_fastpath_enabled()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    whole_model(module, ROWS, PROBLEM)
    assert module.training
    assert torch.backends.mha.get_fastpath_enabled() == fused
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


class Forgetful(nn.Module):
    """Answers with numbers that change from call to call, which no export can."""

    def __init__(self):
        super().__init__()
        self.head, self.calls = nn.Linear(6, OUTPUTS), 0

    def forward(self, x):
        self.calls += 1
        return self.head(x.mean(1)) * float(self.calls)


def test_an_export_that_computes_something_else_is_refused():
    with pytest.raises(PlanError, match="Forgetful: what it exports does not compute the same"):
        whole_model(Forgetful(), ROWS, PROBLEM)


def test_what_torch_cannot_export_is_said_in_one_line():
    module = nn.Sequential(nn.Flatten(), nn.Linear(144, 10), Histogram())
    with pytest.raises(PlanError, match=r"^torch cannot export Sequential: [^\n]+$"):
        whole_model(module, ROWS, PROBLEM)


class Histogram(nn.Module):
    def forward(self, x):
        return torch.histc(x, 5).expand(len(x), 5)
