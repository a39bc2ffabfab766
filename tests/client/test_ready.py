import numpy as np
import pytest
from small_nets import built_in, rows_for

from fedtailor.client import ready
from fedtailor.client.export import to_onnx
from fedtailor.client.ready import READY, ready_model
from fedtailor.client.runtime import open_session, predict
from fedtailor.client.store import DeviceStore
from fedtailor.protos.errors import StoreError


@pytest.fixture
def made(monkeypatch):
    """How often the runtime's own form was made."""
    calls, making = [], ready.optimised
    monkeypatch.setattr(ready, "optimised", lambda model: calls.append(model) or making(model))
    return calls


@pytest.fixture
def store(tmp_path):
    return DeviceStore(tmp_path)


NET = built_in("conv1d")[1]
ONNX = to_onnx(NET)


def test_it_answers_as_the_artefact_does(store):
    rows = rows_for(NET, 20)
    model = ready_model(store, store.put_artifact(ONNX))
    assert model != ONNX
    np.testing.assert_array_equal(predict(open_session(model), rows), predict(open_session(ONNX), rows))


def test_it_is_made_once(store, made):
    sha = store.put_artifact(ONNX)
    assert ready_model(store, sha) == ready_model(DeviceStore(store.folder), sha)
    assert made == [ONNX]


@pytest.mark.parametrize("change", ["version", "processor", "artefact", "damage", "nothing like it"])
def test_it_is_made_anew_once_it_no_longer_fits(store, made, monkeypatch, change):
    sha = store.put_artifact(ONNX)
    ready_model(store, sha)
    if change == "version":
        monkeypatch.setattr(ready.ort, "__version__", "99.0")
    elif change == "processor":
        monkeypatch.setattr(ready, "this_processor", lambda: ("another", ("neon",)))
    elif change == "artefact":
        sha = store.put_artifact(to_onnx(built_in("mlp")[1]))
    elif change == "damage":
        (store.folder / "values" / READY).write_bytes(b"FTDS")
    else:
        store.put(READY, b"")
    for _ in range(2):
        ready_model(store, sha)
    assert len(made) == 2


def test_a_full_disk_costs_time_and_nothing_else(store, made, monkeypatch, caplog):
    sha = store.put_artifact(ONNX)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    for _ in range(2):
        open_session(ready_model(store, sha))
    assert len(made) == 2
    assert "No space left on device" in caplog.text


def test_an_artefact_that_is_not_there_is_named(store):
    with pytest.raises(StoreError, match="found no file"):
        ready_model(store, "00" * 32)
