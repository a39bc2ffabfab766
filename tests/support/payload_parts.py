"""Payloads taken apart and put together again, and a layer that no built-in model has."""

import struct
import zlib

import numpy as np

from fedtailor.protos.quantised_net import BlockLinear
from fedtailor.strategies.payload.payload_words import WORDS

HEADER = struct.Struct("<2sBI")


def block_linear(name, rng, outputs, inputs):
    weight = rng.integers(-8, 8, (outputs, inputs)).astype(np.int8)
    scales = rng.random((outputs, -(-inputs // 16))).astype(np.float32)
    return BlockLinear(name, weight, scales, rng.normal(size=outputs).astype(np.float32), 16)


def sealed(facts, numbers):
    """An envelope with the right checksum around any facts and numbers."""
    deflater = zlib.compressobj(1, zlib.DEFLATED, -15, zdict=WORDS)
    body = deflater.compress(facts) + deflater.flush() + numbers
    return HEADER.pack(b"FT", 2, zlib.crc32(body)) + body


def opened(data):
    """Facts and numbers."""
    inflater = zlib.decompressobj(-15, WORDS)
    facts = inflater.decompress(data[HEADER.size :])
    return facts, inflater.unused_data
