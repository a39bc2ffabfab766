import pytest

from fedtailor.client.recall import recall
from fedtailor.client.store import DeviceStore
from fedtailor.protos.errors import DecodeError


def refuse(kept: bytes) -> str:
    raise DecodeError("own store: of another version")


def test_what_was_put_is_recalled(tmp_path):
    store = DeviceStore(tmp_path)
    store.put("name", b"value")
    assert recall(store, "name", bytes.decode) == "value"


def test_nothing_is_none_without_a_word(tmp_path, caplog):
    assert recall(DeviceStore(tmp_path), "name", bytes.decode) is None
    assert caplog.messages == []


@pytest.mark.parametrize("damage", [b"", b"FT", b"\x00" * 200])
def test_a_damaged_value_is_none_with_one_line_and_can_be_put_again(tmp_path, caplog, damage):
    store = DeviceStore(tmp_path)
    store.put("name", b"value")
    (tmp_path / "values" / "name").write_bytes(damage)
    assert recall(store, "name", bytes.decode) is None
    (line,) = caplog.messages
    assert "values/name" in line
    assert line.endswith("this device goes on without it")
    store.put("name", b"again")
    assert recall(store, "name", bytes.decode) == "again"


def test_a_value_that_cannot_be_read_is_none_with_one_line(tmp_path, caplog):
    store = DeviceStore(tmp_path)
    store.put("name", b"value")
    assert recall(store, "name", refuse) is None
    assert caplog.messages == ["own store: of another version; this device goes on without it"]
