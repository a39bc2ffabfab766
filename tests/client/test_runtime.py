import numpy as np
import pytest
from small_nets import built_in, rows_for

from fedtailor.client import runtime
from fedtailor.client.export import to_onnx
from fedtailor.client.runtime import open_session, optimised, optimised_operators, predict

EXACT_SUMS = "session.x64quantprecision"


@pytest.fixture(scope="module")
def model():
    return to_onnx(built_in("mlp")[1])


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 100])
def test_batches_give_every_row_its_answer(model, count):
    session, x = open_session(model), rows_for(built_in("mlp")[1], count)
    answers = predict(session, x)
    assert answers.shape == (count, 4)
    assert answers.dtype == np.float32
    for at in {0, count // 2, count - 1} - {-1, count}:
        np.testing.assert_allclose(answers[at], session.run(None, {"x": x[at : at + 1]})[0][0], rtol=1e-5, atol=1e-6)


def test_rows_need_not_be_contiguous(model):
    session, x = open_session(model), rows_for(built_in("mlp")[1], 20)
    assert np.array_equal(predict(session, x[::2]), predict(session, x)[::2])


def test_a_session_is_single_threaded_and_does_not_spin(model):
    options = open_session(model).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_exact_sums_are_asked_for_only_where_sums_saturate(model, monkeypatch):
    monkeypatch.setattr(runtime, "_saturates", lambda: True)
    options = open_session(model).get_session_options()
    assert options.get_session_config_entry(EXACT_SUMS) == "1"
    monkeypatch.setattr(runtime, "_saturates", lambda: False)
    with pytest.raises(RuntimeError, match=EXACT_SUMS):
        open_session(model).get_session_options().get_session_config_entry(EXACT_SUMS)


def test_operators_are_counted_after_fusion(model):
    assert optimised_operators(model) == {"Mul": 1, "Add": 1, "FusedGemm": 2, "Gemm": 1}


def test_the_runtimes_own_form_gives_the_same_answers():
    net = built_in("conv2d")[1]
    x, model = rows_for(net, 40), to_onnx(net)
    own = optimised(model)
    assert own[4:8] == b"ORTM"
    assert np.array_equal(predict(open_session(own), x), predict(open_session(model), x))


def test_intermediate_values_are_handed_back_after_a_run(model):
    assert not open_session(model).get_session_options().enable_cpu_mem_arena
