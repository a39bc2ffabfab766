import pytest

from fedtailor.protos.errors import ConfigError
from fedtailor.simulations.named import named

KNOWN = {"one": 1, "two": 2, "three": 3}


@pytest.mark.parametrize(
    ("names", "found"),
    [([], (1, 2, 3)), ([""], (1, 2, 3)), (["two"], (2,)), (["three, one", "one"], (1, 3)), (["two,", "three"], (2, 3))],
)
def test_names_come_one_by_one_or_with_commas_and_the_order_is_the_tables(names, found):
    assert named("only", names, KNOWN) == found


def test_a_name_that_nobody_knows_is_named_with_those_that_are_known():
    with pytest.raises(ConfigError, match=r"^only: expected some of one, two, three, got 'four'$"):
        named("only", ["one,four,five"], KNOWN)
