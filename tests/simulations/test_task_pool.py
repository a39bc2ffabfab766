"""Tasks in processes: every result once, and no process outlives its caller's interest."""

import multiprocessing

import pytest
from pool_tasks import die, refuse_three, squared

from fedtailor.simulations.task_pool import in_processes


def test_every_task_is_answered_once_whatever_the_number_of_processes():
    assert sorted(in_processes(squared, range(7), 2)) == [0, 1, 4, 9, 16, 25, 36]
    assert list(in_processes(squared, [5], 3)) == [25]
    assert list(in_processes(squared, [], 2)) == []


def test_what_a_task_raises_is_raised_here():
    with pytest.raises(ValueError, match="three is too many"):
        list(in_processes(refuse_three, [3, 1], 1))


def test_a_process_that_dies_is_an_error_with_its_exit_code():
    with pytest.raises(RuntimeError, match="exit code 7"):
        list(in_processes(die, [1], 1))


def test_no_process_is_left_when_one_task_fails_while_another_is_busy():
    with pytest.raises(RuntimeError):
        list(in_processes(die, [1, 2], 2))
    assert not multiprocessing.active_children()


def test_a_caller_that_stops_asking_ends_the_processes():
    results = in_processes(refuse_three, [1, 2, 4], 2)
    next(results)
    results.close()
    assert not multiprocessing.active_children()
