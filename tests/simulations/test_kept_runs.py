"""Errands in processes, and files that keep what they found."""

import json

import pytest
from pool_tasks import Sum, add

from fedtailor.simulations.kept_runs import Shelf, carried_out, file_name

SUMS = [Sum(1, 2), Sum(3, 4), Sum(5, 6)]


def shelf(folder):
    return Shelf(folder=folder, read=lambda kept: Sum.Found(**kept))


def test_what_was_found_comes_in_the_order_of_the_errands(tmp_path):
    found = carried_out(add, SUMS, shelf(None), 2, lambda *_: None)
    assert [each.total for each in found] == [3, 7, 11]
    assert not list(tmp_path.iterdir())


def test_kept_errands_are_not_repeated_and_the_rest_is(tmp_path):
    carried_out(add, SUMS[:2], shelf(tmp_path), 1, lambda *_: None)
    (tmp_path / SUMS[0].file).write_text(json.dumps({"total": 100}), encoding="utf-8")
    told = []
    found = carried_out(add, SUMS, shelf(tmp_path), 1, lambda *said: told.append(said))
    assert [each.total for each in found] == [100, 7, 11]
    assert [(done, last and last.total) for done, last in told] == [(2, None), (3, 11)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(each.file for each in SUMS)


def test_a_half_written_file_is_none(tmp_path):
    (tmp_path / SUMS[0].file).with_suffix(".part").write_text('{"tot', encoding="utf-8")
    (found,) = carried_out(add, SUMS[:1], shelf(tmp_path), 1, lambda *_: None)
    assert found.total == 3


@pytest.mark.parametrize("asked", [{"a": 1, "b": 3}, {"a": 1}])
def test_files_are_named_by_what_was_asked(asked):
    assert file_name("x", {"b": 2, "a": 1}) == file_name("x", {"a": 1, "b": 2}) != file_name("x", asked)
