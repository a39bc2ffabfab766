"""What the merge expects over all cohorts that might have been asked, by enumeration: nothing is left to luck.

A small fleet's rounds are all its cohorts, each with its probability; devices are asked independently of each other, or
so many at a time. With weights n / p, Σ a m Δ and Σ a m are exactly the fleet's (Horvitz-Thompson); their ratio, the
mean, is so too where every cohort has the same Σ a (Hájek).
"""

from itertools import combinations
from math import comb, prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.schema import Schema
from fedtailor.strategies.merge.merge import Merge

FLEET, SIZE = 6, 5
SCHEMA = Schema(("w",), ((SIZE,),))


def independent(chances):
    """Every cohort with its probability where each device has its own chance."""
    for count in range(FLEET + 1):
        for cohort in combinations(range(FLEET), count):
            yield cohort, prod(chance if at in cohort else 1 - chance for at, chance in enumerate(chances))


def so_many(count):
    """Every cohort of so many, as likely as any other."""
    for cohort in combinations(range(FLEET), count):
        yield cohort, 1 / comb(FLEET, count)


class Fleet:
    def __init__(self, seed, *, masked=True):
        rng = np.random.default_rng(seed)
        self.examples = rng.integers(1, 500, FLEET)
        self.deltas = rng.normal(0, 0.1, (FLEET, SIZE)).astype(np.float32)
        self.masks = rng.random((FLEET, SIZE)) < (0.6 if masked else 1.0)
        self.chances = rng.uniform(0.1, 1.0, FLEET)

    def round(self, cohort, chances):
        """The mean over one cohort, and the weight that covers each coordinate."""
        merge, covering = Merge(SCHEMA), np.zeros(SIZE)
        for at in cohort:
            weight = self.examples[at] / chances[at]
            merge.fold([self.deltas[at]], weight, sender=f"device {at}", masks=[self.masks[at]])
            covering += weight * self.masks[at]
        return merge.mean().values, covering

    @property
    def totals(self):
        covering = (self.examples[:, None] * self.masks).sum(axis=0)
        return (self.examples[:, None] * self.masks * self.deltas.astype(np.float64)).sum(axis=0), covering


@given(seed=st.integers(0, 2**32 - 1))
def test_the_sums_are_those_of_the_whole_fleet_whatever_masks_and_chances(seed):
    fleet = Fleet(seed)
    sums, coverage = np.zeros(SIZE), np.zeros(SIZE)
    for cohort, probability in independent(fleet.chances):
        mean, covering = fleet.round(cohort, fleet.chances)
        sums += probability * mean * covering
        coverage += probability * covering
    want_sums, want_coverage = fleet.totals
    np.testing.assert_allclose(coverage, want_coverage, rtol=1e-9)
    np.testing.assert_allclose(sums, want_sums, rtol=1e-5, atol=1e-5)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, FLEET))
def test_the_mean_is_the_fleets_where_every_cohort_weighs_the_same(seed, count):
    fleet = Fleet(seed, masked=False)
    fleet.examples[:] = fleet.examples[0]
    chances = np.full(FLEET, count / FLEET)
    mean = sum(probability * fleet.round(cohort, chances)[0] for cohort, probability in so_many(count))
    np.testing.assert_allclose(mean, fleet.deltas.astype(np.float64).mean(axis=0), atol=1e-6)


def test_without_the_chances_the_mean_leans_to_those_that_are_asked_often():
    fleet = Fleet(0, masked=False)
    fleet.examples[:], fleet.deltas[:], fleet.deltas[0] = 10, 0, 1
    chances = np.array([0.9, *[0.3] * (FLEET - 1)])

    def expected(believed):
        rounds = [(probability, fleet.round(cohort, believed)[0]) for cohort, probability in independent(chances)]
        return sum(probability * mean for probability, mean in rounds)[0]

    true = 1 / FLEET
    assert true < expected(chances) < 0.75 * expected(np.ones(FLEET))
