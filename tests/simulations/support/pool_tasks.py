"""What worker processes of the tests do: they import it by name."""

import os
from dataclasses import dataclass


def squared(value):
    return value * value


def refuse_three(value):
    if value == 3:
        raise ValueError("three is too many")
    return value


def die(value):
    os._exit(7)


@dataclass(frozen=True)
class Sum:
    """An errand."""

    one: int
    other: int

    @dataclass(frozen=True)
    class Found:
        total: int

    @property
    def file(self):
        return f"{self.one}-{self.other}.json"


def add(errand):
    return errand.file, Sum.Found(errand.one + errand.other)
