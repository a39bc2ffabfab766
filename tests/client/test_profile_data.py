import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedtailor.client.profile_data import profile_data
from fedtailor.protos.errors import DataError
from fedtailor.protos.model_spec import CLASSIFICATION, NEXT_TOKEN, REGRESSION
from fedtailor.protos.samples import DeviceData, Samples


def device(x, y, kind=CLASSIFICATION, outputs=4):
    train, other = Samples(x, y), Samples(x[:0], y[:0])
    return DeviceData("d", kind, outputs, train, Samples(x[:1], y[:1]), other)


def features(dtype=np.float32):
    shapes = st.one_of(
        st.tuples(st.integers(1, 30), st.integers(1, 5)),
        st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)),
    )
    if dtype == np.uint8:
        return shapes.flatmap(lambda shape: arrays(np.uint8, shape))
    return shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=st.floats(-1e4, 1e4, width=32)))


@given(x=st.one_of(features(), features(np.uint8)))
def test_moments_are_those_of_numpy_in_float64(x):
    profile = profile_data(device(x, np.zeros(len(x), np.int64)))
    flat = x.reshape(-1, x.shape[-1]).astype(np.float64)
    np.testing.assert_allclose(profile.feature_means, flat.mean(0), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(profile.feature_variances, flat.var(0), rtol=1e-9, atol=1e-9)


def test_moments_over_many_blocks_keep_a_small_variance_beside_a_large_mean():
    x = (1e4 + np.random.default_rng(0).normal(size=(300_000, 2))).astype(np.float32)
    profile = profile_data(device(x, np.zeros(len(x), np.int64)))
    np.testing.assert_allclose(profile.feature_means, x.astype(np.float64).mean(0), rtol=1e-13)
    np.testing.assert_allclose(profile.feature_variances, x.astype(np.float64).var(0), rtol=1e-10)


def test_large_pictures_are_never_copied_whole():
    tracemalloc = pytest.importorskip("tracemalloc")
    x = np.random.default_rng(0).integers(0, 256, (2000, 64, 64, 3), dtype=np.uint8)
    data = device(x, np.zeros(len(x), np.int64))
    tracemalloc.start()
    profile = profile_data(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes / 2
    np.testing.assert_allclose(profile.feature_means, x.mean((0, 1, 2)), rtol=1e-12)


@given(y=arrays(np.int64, st.integers(1, 50), elements=st.integers(0, 3)))
def test_counts_cover_every_class_and_sum_to_the_rows(y):
    profile = profile_data(device(np.zeros((len(y), 2), np.float32), y))
    assert profile.class_counts == tuple(int((y == label).sum()) for label in range(4))
    assert profile.train_samples == len(y) == sum(profile.class_counts)
    assert (profile.validation_samples, profile.target_quantiles) == (1, ())


@given(y=arrays(np.float32, st.integers(1, 50), elements=st.floats(-1e3, 1e3, width=32)))
def test_targets_are_described_by_quantiles_mean_and_variance(y):
    profile = profile_data(device(np.zeros((len(y), 2), np.float32), y, REGRESSION, outputs=1))
    wide = y.astype(np.float64)
    np.testing.assert_allclose(profile.target_quantiles, np.quantile(wide, [0, 0.25, 0.5, 0.75, 1]))
    np.testing.assert_allclose((profile.target_mean, profile.target_variance), (wide.mean(), wide.var()))
    assert profile.class_counts == ()


def test_tokens_have_counts_and_no_moments():
    x = np.array([[0, 1, 2], [1, 2, 3]])
    profile = profile_data(device(x, np.array([[1, 2, 3], [2, 3, 0]]), NEXT_TOKEN))
    assert profile.class_counts == (1, 1, 2, 2)
    assert (profile.feature_means, profile.feature_variances) == ((), ())
    assert profile.sample_shape == (3,)


@pytest.mark.parametrize(
    ("kind", "outputs", "y", "counts"),
    [
        (CLASSIFICATION, 4, np.zeros(0, np.int64), (0, 0, 0, 0)),
        (REGRESSION, 1, np.zeros(0, np.float32), ()),
        (NEXT_TOKEN, 3, np.zeros((0, 5), np.int64), (0, 0, 0)),
    ],
)
def test_a_device_without_rows_to_train_has_zero_counts_and_empty_moments(kind, outputs, y, counts):
    x = np.zeros((0, 5), np.int64 if kind == NEXT_TOKEN else np.float32)
    profile = profile_data(device(x, y, kind, outputs))
    assert profile.class_counts == counts
    assert (profile.train_samples, profile.feature_means, profile.target_quantiles) == (0, (), ())


@pytest.mark.parametrize("bad", [4, -1])
def test_a_class_out_of_range_names_the_device_and_the_class(bad):
    with pytest.raises(DataError, match=rf"device d: expected classes 0 to 3, got {bad} in 1 places"):
        profile_data(device(np.zeros((2, 1), np.float32), np.array([0, bad])))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_name_the_device(bad):
    bad_row = np.array([[0], [bad]], np.float32)
    with pytest.raises(DataError, match="device d: expected finite numbers in every feature channel"):
        profile_data(device(bad_row, np.array([0, 1])))
    with pytest.raises(DataError, match="device d: expected finite numbers in every target"):
        profile_data(device(np.zeros((2, 1), np.float32), bad_row[:, 0], REGRESSION, 1))
