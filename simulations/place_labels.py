"""Names beside the points of a plot, where there is room for them."""

from collections.abc import Sequence
from dataclasses import dataclass

LETTER = 6.6  # width of a letter of the page's 12 px font, roughly
HEIGHT = 12.0
LEVELS = 4  # of names one over the other

Box = tuple[float, float, float, float]  # left, right, top, bottom


@dataclass(frozen=True, slots=True)
class Label:
    """A text at its baseline; `anchor` as SVG names it."""

    text: str
    x: float
    y: float
    anchor: str


def place_labels(
    names: Sequence[str], points: Sequence[tuple[float, float]], *, radius: float, within: Box
) -> list[Label]:
    """For each point its name above, below, right or left of it, or further up and down: the first place that covers no
    point and no name before it, and stays inside; above where all are taken. Lengths are pixels, y downwards.
    """
    taken = [(x - radius, x + radius, y - radius, y + radius) for x, y in points]
    placed = []
    for name, point in zip(names, points, strict=True):
        places = _places(name, point, radius)
        free = (label for label in places if _is_free(_box(label), taken, within))
        label = next(free, places[0])
        taken.append(_box(label))
        placed.append(label)
    return placed


def _places(name: str, at: tuple[float, float], radius: float) -> list[Label]:
    """The nearest first."""
    x, y = at
    away, middle = radius + 3, HEIGHT / 2 - 2
    above = [Label(name, x, y - away - HEIGHT * level, "middle") for level in range(LEVELS)]
    below = [Label(name, x, y + away + HEIGHT * (level + 1) - 2, "middle") for level in range(LEVELS)]
    beside = [Label(name, x + away, y + middle, "start"), Label(name, x - away, y + middle, "end")]
    further = [label for pair in zip(above[1:], below[1:], strict=True) for label in pair]
    return [above[0], below[0], *beside, *further]


def _box(label: Label) -> Box:
    width = LETTER * len(label.text)
    left = label.x - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[label.anchor]
    return left, left + width, label.y - HEIGHT + 2, label.y + 2


def _is_free(box: Box, taken: Sequence[Box], within: Box) -> bool:
    left, right, top, bottom = box
    inside = within[0] <= left and right <= within[1] and within[2] <= top and bottom <= within[3]
    return inside and not any(_overlap(box, other) for other in taken)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
