"""Every registered peer keeps one contract; one that is missing or broken is an outcome, never a crash."""

import io
from dataclasses import replace

import numpy as np
import onnx
import pytest
from broken_peers import DIES, ECHOES, MISSING, RAISES, SLEEPS

from fedtailor.client.export import to_onnx
from fedtailor.client.runtime import open_session, predict
from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, REGRESSION, ModelSpec
from fedtailor.protos.net import Activation, ChannelsFirst, Conv, GlobalAveragePool, Linear, Net
from fedtailor.protos.samples import Samples
from fedtailor.simulations.peers.outcome import run_peer
from fedtailor.simulations.peers.peer import PEERS, CalibrationReader, PeerTask, Validation
from fedtailor.simulations.peers.plain_model import plain_model
from fedtailor.strategies.graph.realise import realise
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.model import build

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(64, 8, 8, 3)).astype(np.float32)


def normal(*shape):
    return RNG.normal(size=shape, scale=0.3).astype(np.float32)


NET = Net(
    (8, 8, 3),
    False,
    (
        ChannelsFirst("first"),
        Conv("conv", normal(32, 3, 3, 3), normal(32), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
        Activation("relu", "relu"),
        Conv("conv2", normal(48, 32, 3, 3), normal(48), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
        Activation("relu2", "relu"),
        GlobalAveragePool("average"),
        Linear("head", normal(5, 48), normal(5)),
    ),
)
MODEL = plain_model(to_onnx(NET), realise(NET), ROWS)
FP32 = predict(open_session(MODEL), ROWS)


@pytest.fixture
def task(tmp_path):
    return PeerTask(MODEL, ROWS, Validation(CLASSIFICATION, Samples(ROWS, FP32.argmax(1))), tmp_path)


@pytest.mark.parametrize("name", sorted(PEERS))
def test_a_peer_answers_a_smaller_model_that_says_nearly_the_same(task, name):
    peer = PEERS[name]
    if not peer.installed:
        pytest.skip(f"{peer.package} is not installed: {peer.install}")
    outcome = run_peer(peer, task)
    assert outcome.model is not None, outcome.problem
    assert len(outcome.model) < 0.5 * len(MODEL)
    assert task.validate(outcome.model) >= 0.9
    assert outcome.cpu_s > 0


def test_ort_static_is_always_there():
    assert PEERS["ort-static"].installed


def test_every_peer_that_can_be_missing_says_how_to_install_it():
    assert all(peer.install.startswith("pip install ") for peer in PEERS.values() if peer.package != "onnxruntime")


@pytest.mark.parametrize(
    ("peer", "problem"),
    [
        (MISSING, "not installed: pip install it"),
        (RAISES, "ValueError: no such operator"),
        (DIES, "its process ended with code 3"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_peer_that_breaks_is_a_line(task, peer, problem):
    outcome = run_peer(peer, task)
    assert (outcome.model, outcome.problem) == (None, problem)


def test_a_peer_that_never_answers_is_ended(task):
    assert run_peer(SLEEPS, task, limit_s=0.01).problem == "no answer in 0.01 s"


def test_a_peer_has_its_environment_and_the_validation_rows_and_its_chatter_goes_to_a_log(task, capfd):
    assert run_peer(ECHOES, task).model == b"quality 1.000"
    assert capfd.readouterr().out == ""
    assert "chatter" in (task.folder / "echoes.log").read_text(encoding="utf-8")


def test_quality_is_higher_for_better_where_a_lower_score_is_better():
    net = replace(NET, layers=(*NET.layers[:-1], Linear("head", normal(1, 48), normal(1))))
    model = to_onnx(net)
    truth = predict(open_session(model), ROWS)[:, 0]
    near, far = (Validation(REGRESSION, Samples(ROWS, truth + off))(model) for off in (np.float32(0.5), np.float32(2)))
    assert near == pytest.approx(2, rel=1e-4)
    assert far == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize(("name", "shape"), [("conv1d", (24, 6)), ("resnet", (8, 8, 3)), ("transformer", (12,))])
def test_a_plain_model_is_old_enough_and_answers_the_same(name, shape):
    kind = NEXT_TOKEN if name == "transformer" else CLASSIFICATION
    spec = ModelSpec(
        name=name,
        version=1,
        kind=kind,
        input_shape=shape,
        outputs=5,
        feature_means=(0.0,) * shape[-1],
        feature_scales=(1.0,) * shape[-1],
    )
    module = build(spec)
    rows = RNG.integers(0, 5, (3, *shape)) if kind == NEXT_TOKEN else RNG.normal(size=(3, *shape)).astype(np.float32)
    ours = to_onnx(trace(module, spec))
    plain = plain_model(ours, module, rows)
    assert next(one.version for one in onnx.load_from_string(plain).opset_import if not one.domain) == 17
    assert np.allclose(predict(open_session(plain), rows), predict(open_session(ours), rows), atol=1e-4)


def test_the_model_a_peer_reads_names_every_node_and_is_otherwise_the_same(task):
    named = task.read_model()
    assert len({node.name for node in named.graph.node} - {""}) == len(named.graph.node)
    for node in named.graph.node:
        node.name = ""
    plain = onnx.load(io.BytesIO(MODEL))
    for node in plain.graph.node:
        node.name = ""
    assert named == plain


def test_calibration_rows_come_one_at_a_time_and_again_after_rewinding(task):
    reader = CalibrationReader(task)
    first = [row["x"] for row in iter(reader.get_next, None)]
    reader.rewind()
    assert np.array_equal(np.concatenate(first), ROWS)
    assert np.array_equal(reader.get_next()["x"], ROWS[:1])
