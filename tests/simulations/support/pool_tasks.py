"""What worker processes of the tests do: they import it by name."""

import os


def squared(value):
    return value * value


def refuse_three(value):
    if value == 3:
        raise ValueError("three is too many")
    return value


def die(value):
    os._exit(7)
