"""What every plot is made of: scales, ticks, axes and the accessible frame. Lengths are pixels of the view box."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fedtailor.server.report.markup import Child, Markup, tag
from fedtailor.server.report.wording import NBSP

Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The inner rectangle of a plot, inside its margins."""

    width: float
    height: float
    left: float = 56
    right: float = 16
    top: float = 14
    bottom: float = 44

    @property
    def x_range(self) -> tuple[float, float]:
        return self.left, self.width - self.right

    @property
    def y_range(self) -> tuple[float, float]:
        """Bottom first: larger values are drawn higher."""
        return self.height - self.bottom, self.top


def linear(domain: tuple[float, float], pixels: tuple[float, float]) -> Scale:
    """Proportional; an empty domain maps to the middle."""
    (low, high), (start, end) = domain, pixels
    if high == low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def logarithmic(domain: tuple[float, float], pixels: tuple[float, float]) -> Scale:
    """Proportional in the logarithm; the domain lies above 0."""
    inner = linear((math.log(domain[0]), math.log(domain[1])), pixels)
    return lambda value: inner(math.log(value))


def padded(values: Iterable[float], share: float = 0.06) -> tuple[float, float]:
    """The range of the values with some air on both sides; (0, 1) without values."""
    present = [value for value in values if math.isfinite(value)]
    if not present:
        return 0.0, 1.0
    low, high = min(present), max(present)
    air = (high - low) * share or abs(low) * 0.05 or 0.5
    return low - air, high + air


def log_padded(values: Iterable[float], factor: float = 1.25) -> tuple[float, float]:
    """The range of the positive values with some air on both sides; (1, 10) without any."""
    present = [value for value in values if value > 0 and math.isfinite(value)]
    return (min(present) / factor, max(present) * factor) if present else (1.0, 10.0)


def linear_ticks(domain: tuple[float, float], about: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) inside the domain."""
    low, high = domain
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [place * step for place in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(domain: tuple[float, float], most: int = 8) -> list[float]:
    """1, 2 and 5 times powers of ten inside the domain, or fewer where these are too many."""
    low, high = domain
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for multiples in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**p for p in powers for m in multiples if low <= m * 10.0**p <= high]
        if len(ticks) <= most:
            break
    return ticks[:: -(-len(ticks) // most) or 1]


def x_axis(frame: Frame, scale: Scale, ticks: Sequence[float], words: Callable[[float], str], label: str) -> Markup:
    """Ticks, grid lines and a label below the frame."""
    (bottom, top), (left, right) = frame.y_range, frame.x_range
    marks = [
        (
            tag("line", class_="grid", x1=scale(t), x2=scale(t), y1=top, y2=bottom),
            tag("text", _plain(words(t)), class_="tick", x=scale(t), y=bottom + 16, text_anchor="middle"),
        )
        for t in ticks
    ]
    title = tag("text", label, class_="label", x=(left + right) / 2, y=bottom + 34, text_anchor="middle")
    return tag("g", marks, tag("line", class_="axis", x1=left, x2=right, y1=bottom, y2=bottom), title)


def y_axis(frame: Frame, scale: Scale, ticks: Sequence[float], words: Callable[[float], str]) -> Markup:
    """Ticks and grid lines left of the frame; the plot's heading says what is drawn upwards."""
    left, right = frame.x_range
    marks = [
        (
            tag("line", class_="grid", x1=left, x2=right, y1=scale(t), y2=scale(t)),
            tag("text", _plain(words(t)), class_="tick", x=left - 8, y=scale(t) + 4, text_anchor="end"),
        )
        for t in ticks
    ]
    return tag("g", marks)


def _plain(tick: str) -> str:
    """Ticks are round values: 30.0 kB reads 30 kB."""
    return tick.replace(f".0{NBSP}", NBSP).removesuffix(".0")


def drawing(name: str, title: str, description: str, frame: Frame, *children: Child) -> Markup:
    """An SVG that a screen reader can announce; `name` is unique on the page."""
    return tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", description, id=f"{name}-desc"),
        children,
        viewBox=f"0 0 {frame.width:g} {frame.height:g}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        class_="plot",
    )


def with_tip(tip: str, shape: str, **attributes: str | float) -> Markup:
    """A shape that says what it is when pointed at."""
    return tag(shape, tag("title", tip), **attributes)


def polyline(points: Iterable[tuple[float, float]], **attributes: str | float) -> Markup:
    """A line through points."""
    return tag("polyline", points=" ".join(f"{x:.2f},{y:.2f}" for x, y in points), **attributes)


def diamond(x: float, y: float, radius: float) -> str:
    """A path: a square on its corner."""
    return f"M{x:.2f} {y - radius:.2f}l{radius} {radius}l{-radius} {radius}l{-radius} {-radius}z"


def cross(x: float, y: float, radius: float) -> str:
    """A path: two diagonal strokes."""
    return f"M{x - radius:.2f} {y - radius:.2f}l{2 * radius} {2 * radius}m0 {-2 * radius}l{-2 * radius} {2 * radius}"


def square(x: float, y: float, radius: float) -> str:
    """A path: a square."""
    return f"M{x - radius:.2f} {y - radius:.2f}h{2 * radius}v{2 * radius}h{-2 * radius}z"
