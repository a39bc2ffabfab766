import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import DecodeError
from fedtailor.strategies.codec.bits import BitReader, BitWriter
from fedtailor.strategies.codec.planes import by_bucket, most_plane_bits, read_planes, write_planes
from fedtailor.strategies.codec.rice import write_gamma

buckets = st.lists(
    st.tuples(st.integers(1, 300), st.sampled_from([0.01, 0.1, 0.3, 0.5, 0.8, 0.98]), st.integers(1, 255)), max_size=6
)


def written(values, sizes):
    writer = BitWriter()
    write_planes(writer, values, np.array(sizes, np.int64))
    return writer.to_bytes()


def read(data, sizes):
    reader = BitReader(data)
    values = read_planes(reader, np.array(sizes, np.int64))
    reader.close()
    return values


def values_of(drawn, seed=0):
    rng = np.random.default_rng(seed)
    parts = [(rng.random(size) < density) * rng.integers(1, top + 1, size) for size, density, top in drawn]
    return np.concatenate([np.zeros(0), *parts]).astype(np.uint8)


@given(drawn=buckets, seed=st.integers(0, 99))
def test_values_of_any_density_come_back_within_the_most_bits(drawn, seed):
    sizes, values = [size for size, *_ in drawn], values_of(drawn, seed)
    data = written(values, sizes)
    assert (read(data, sizes) == values).all()
    assert len(data) * 8 <= most_plane_bits(values.size, len(sizes)) + 7


@pytest.mark.parametrize("density", [0.003, 0.05, 0.2, 0.3, 0.36, 0.45, 0.7, 0.95])
def test_flags_take_at_most_a_twentieth_more_than_their_entropy(density):
    values = values_of([(100_000, density, 1)])
    share = values.mean()
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    assert len(written(values, [values.size])) * 8 <= 1.05 * entropy * values.size + 60


def test_flags_that_are_rare_in_one_bucket_only_pay_to_be_told_apart():
    drawn = [(2000, 0.01, 1), (2000, 0.5, 1)]
    values = values_of(drawn)
    assert len(written(values, [2000, 2000])) < 0.8 * len(written(values, [4000]))


@given(data=st.binary(max_size=60), sizes=st.lists(st.integers(1, 90), max_size=4))
def test_noise_is_refused_or_read_as_so_many_values(data, sizes):
    try:
        values = read(data, sizes)
    except DecodeError:
        return
    assert values.size == sum(sizes)


def test_a_number_that_no_byte_holds_is_refused():
    writer = BitWriter()
    for _ in range(15):
        writer.write_bits(np.zeros(1, np.int64), 1)
        writer.write_flags(np.ones(1, np.bool_))
    write_gamma(writer, np.array([241]))
    with pytest.raises(DecodeError, match="a number of 256 came, at most 255 is allowed"):
        read(writer.to_bytes(), [1])


def test_more_of_the_rarer_kind_than_half_is_refused():
    writer = BitWriter()
    writer.write_bits(np.array([4]), 3)
    writer.write_bits(np.array([0]), 1)
    writer.write_bits(np.array([3]), 2)
    with pytest.raises(DecodeError, match="more of the rarer flags"):
        read(writer.to_bytes(), [10])


def test_buckets_are_views_in_order():
    values = np.arange(6)
    assert [part.tolist() for part in by_bucket(values, np.array([1, 3, 2]))] == [[0], [1, 2, 3], [4, 5]]
    assert by_bucket(values[:0], np.zeros(0, np.int64)) == []
