from dataclasses import replace

import numpy as np
import pytest

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Schema, schema_of
from fedtailor.strategies.snapshot import snapshot_of, state_of

STATE = {"w": np.array([[1.5, -0.0], [np.float32(1e-42), 3.0]], np.float32), "b": np.array([7.0], np.float32)}
SCHEMA = schema_of(STATE)


def test_a_state_survives_bit_for_bit():
    back = state_of(snapshot_of(STATE, 3), SCHEMA, sender="server")
    assert list(back) == ["w", "b"]
    assert all(back[name].tobytes() == STATE[name].tobytes() and back[name].flags.writeable for name in STATE)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"values": b"\0" * 20}, "server, base 3: the checksum of its values is wrong"),
        ({"values": b"\0" * 16}, "server, base 3: 16 bytes came, 5 parameters take 20"),
        ({"base_hash": "ab" * 32}, "server, base 3: its hash is .*, it says abababababab"),
    ],
)
def test_damage_is_one_line(changes, line):
    with pytest.raises(DecodeError, match=line):
        state_of(replace(snapshot_of(STATE, 3), **changes), SCHEMA, sender="server")


def test_another_model_is_refused():
    other = Schema(("w", "b"), ((4,), (1,)))
    with pytest.raises(DecodeError, match="models differ"):
        state_of(snapshot_of(STATE, 3), other, sender="server")
