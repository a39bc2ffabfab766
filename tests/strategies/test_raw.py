import numpy as np
import pytest
from codec_cases import SCHEMA, encoded_by, spec_of, update_of

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.codec.codec import Encoded, coder_of
from fedtailor.strategies.codec.context import blank
from fedtailor.strategies.codec.flat import flatten


@pytest.mark.parametrize(("name", "width"), [("fp32", 4), ("fp16", 2)])
def test_every_value_takes_its_width(name, width):
    assert len(encoded_by(spec_of(name), update_of(SCHEMA), blank(SCHEMA)).payload) == width * SCHEMA.size


def test_values_beyond_half_precision_become_its_largest():
    update = [np.full(shape, -1e9, np.float32) for shape in SCHEMA.shapes]
    came = coder_of(spec_of("fp16")).decode(encoded_by(spec_of("fp16"), update, blank(SCHEMA)), blank(SCHEMA))
    assert set(flatten(came).tolist()) == {-65504.0}


@pytest.mark.parametrize(("name", "infinity"), [("fp32", b"\x00\x00\x80\x7f"), ("fp16", b"\x00\x7c")])
def test_a_value_that_is_not_finite_is_named(name, infinity):
    payload = infinity.rjust(len(infinity) * SCHEMA.size, b"\x00")
    with pytest.raises(DecodeError, match="value 44 of 45 is inf, expected a finite number"):
        coder_of(spec_of(name)).decode(Encoded(scales=(), payload=payload), blank(SCHEMA))
