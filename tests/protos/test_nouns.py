from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.budget import Budget
from fedtailor.protos.efficiency import Efficiency
from fedtailor.protos.errors import FedTailorError, MissingExtra
from fedtailor.protos.mask import KeptChannels, Mask
from fedtailor.protos.model_spec import KINDS, ModelSpec
from fedtailor.protos.schema import Schema, schema_of, state_hash

LIMITS = [field.name for field in fields(Budget)]


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_budget_of_nothing_names_the_limit(name, value):
    with pytest.raises(ValueError, match=rf"Budget\.{name} must be above 0, got {value}"):
        Budget(**{name: value})


def test_a_budget_without_limits_is_the_default():
    assert all(getattr(Budget(), name) is None for name in LIMITS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_for_a_known_kind(kind):
    assert ModelSpec(name="mlp", version=1, kind=kind, input_shape=(4,), outputs=2).kind == kind


def test_an_unknown_kind_lists_those_there_are():
    with pytest.raises(ValueError, match="one of classification, regression, next-token, got 'ranking'"):
        ModelSpec(name="mlp", version=1, kind="ranking", input_shape=(4,), outputs=2)


SCHEMA = Schema(("a.weight", "a.bias"), ((2, 3), (2,)))


@pytest.mark.parametrize(
    "other",
    [
        Schema(("a.bias", "a.weight"), ((2,), (2, 3))),
        Schema(("a.weight", "a.bias"), ((3, 2), (2,))),
        Schema(("a.weight", "b.bias"), ((2, 3), (2,))),
        Schema(("a.weight",), ((2, 3),)),
        Schema((), ()),
    ],
    ids=["order", "shape", "name", "fewer", "none"],
)
def test_a_schema_hash_tells_schemas_apart(other):
    assert SCHEMA.hash != other.hash


def test_a_schema_counts_its_values():
    assert (SCHEMA.sizes, SCHEMA.size) == ((6, 2), 8)
    assert Schema(("scalar",), ((),)).size == 1


def test_the_schema_hash_is_what_it_always_was():
    assert SCHEMA.hash == "31f26d6173fb5e18556d64615f2f98bd85b9cdff21c062125b02c3fac829114e"


def test_the_state_hash_is_what_it_always_was_on_every_platform():
    state = {"a.weight": np.arange(6, dtype="<f4").reshape(2, 3), "a.bias": np.array([0.5, -1], "<f4")}
    assert schema_of(state) == SCHEMA
    assert state_hash(state) == "97896a87976a46e1f7a6f093aefff60fdda99c1e705bafd22b00266b65ef0040"


def test_the_state_hash_does_not_see_byte_order_or_memory_layout():
    plain = {"w": np.arange(6, dtype="<f4").reshape(2, 3)}
    assert state_hash(plain) == state_hash({"w": plain["w"].astype(">f4")})
    assert state_hash(plain) == state_hash({"w": np.asfortranarray(plain["w"])})


@given(at=st.integers(0, 5), bit=st.integers(0, 31))
def test_the_state_hash_sees_every_bit(at, bit):
    words = np.arange(6, dtype="<u4")
    changed = words.copy()
    changed[at] ^= np.uint32(1 << bit)
    assert state_hash({"w": words.view("<f4")}) != state_hash({"w": changed.view("<f4")})


def mask(layer="conv1", total=4, kept=(0, 2)):
    return Mask(layers=(KeptChannels(layer=layer, total=total, kept=kept),))


@pytest.mark.parametrize("other", [mask(layer="conv2"), mask(total=5), mask(kept=(0, 3)), mask(kept=()), Mask()])
def test_a_mask_hash_tells_masks_apart(other):
    assert mask().hash() != other.hash()


def test_equal_masks_have_equal_hashes():
    assert mask().hash() == mask().hash()
    assert Mask().hash() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of no bytes


def efficiency(latency_ms_modelled):
    measured = {field.name: 500.0 for field in fields(Efficiency) if "modelled" not in field.name}
    return Efficiency(**measured, latency_ms_modelled=latency_ms_modelled)


def test_a_budget_is_held_against_modelled_latency_only_where_there_is_one():
    assert efficiency(None).latency_ms == 0.5
    assert efficiency(9.0).latency_ms == 9.0


def test_a_missing_extra_says_what_to_install():
    error = MissingExtra("seglearn", "demo", "the default fleet")
    assert isinstance(error, FedTailorError)
    assert str(error) == "the default fleet needs seglearn; install it with: pip install 'fedtailor[demo]'"
