"""What a layer takes in a payload and in a session, by its size and how it is written: modelled, not measured.

Payload figures describe format version 2 of `payload.py`: within 3 % from 2 kB on, up to 8 % too much below.
"""

from dataclasses import fields

import numpy as np

from fedtailor.protos.net import Net
from fedtailor.protos.schema import Doubles
from fedtailor.strategies.graph.groups import Indices

NET_BYTES = 100.0  # of a payload: envelope and shapes
LAYER_BYTES = 5.0  # the facts of one layer
ROW_BYTES = 4.5  # a bfloat16 scale and a float32 bias after entropy coding

FLOAT_BYTES, INT8_BYTES = 4, 1  # of one weight, and of one value between layers, in a session

Sizes = Indices | int


def layer_bytes(rows: Sizes, columns: Sizes, bits: Doubles) -> Doubles:
    """Of a payload, for weights [rows, columns] of so many bits each, with a scale and a bias for every row."""
    return np.asarray(rows * (columns * bits / 8 + ROW_BYTES))


def session_bytes(rows: Sizes, columns: Sizes, places: int, *, integer: bool) -> Sizes:
    """Weights as the runtime expands them, and the layer's answer at so many places; buffers may be shared: an upper
    estimate."""
    each = INT8_BYTES if integer else FLOAT_BYTES
    return each * rows * (columns + places)


def float_bytes(net: Net) -> int:
    """All numbers of a net as they are, at 4 bytes each."""
    values = (getattr(layer, field.name) for layer in net.layers for field in fields(layer))
    return FLOAT_BYTES * sum(value.size for value in values if isinstance(value, np.ndarray))
