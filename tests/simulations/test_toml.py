"""What we write as TOML, the standard library reads back."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.simulations.toml import to_toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PLAIN = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT
VALUES = PLAIN | st.lists(PLAIN, max_size=3)


def tables(depth=2):
    inner = VALUES if depth == 0 else VALUES | tables(depth - 1) | st.lists(tables(depth - 1), max_size=2)
    return st.dictionaries(TEXT, inner, max_size=4)


@given(table=tables())
def test_what_is_written_is_read(table):
    assert tomllib.loads(to_toml(table)) == table


@pytest.mark.parametrize("value", [None, {1}, [None], [{}, 1]])
def test_a_value_without_a_form_is_named(value):
    with pytest.raises(TypeError, match="to_toml"):
        to_toml({"key": value})
