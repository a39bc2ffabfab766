"""How figures read: units, percent for accuracy, a dash for what is not known.

Between a figure and its unit stands a no-break space.
"""

import math

UNKNOWN = "–"
NBSP = "\u00a0"
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")


def score_text(value: float | None, metric: str) -> str:
    """97.1 % for accuracy; three significant digits in the metric's own unit otherwise."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{100 * value:.1f}{NBSP}%" if metric == "accuracy" else f"{value:#.3g}".rstrip(".")


def bytes_text(value: float | None) -> str:
    """Decimal units: 118,556 bytes are 119 kB."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size = float(value)
    for unit in _BYTE_UNITS[:-1]:
        if abs(size) < 999.5:
            return _digits(size, unit)
        size /= 1000
    return _digits(size, _BYTE_UNITS[-1])


def _digits(size: float, unit: str) -> str:
    return f"{size:.0f}{NBSP}{unit}" if unit == "B" or abs(size) >= 99.95 else f"{size:.1f}{NBSP}{unit}"


def ratio_text(value: float | None) -> str:
    """14.4×, 289×; near one to the hundredth: 0.81×, 1.03×."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:.0f}×" if value >= 99.95 else f"{value:.1f}×" if value >= 1.195 else f"{value:.2f}×"


def speed_text(value: float | None) -> str:
    """Of a latency ratio: 2.4× faster, 1.03× as fast."""
    return f"{ratio_text(value)} {'as fast' if value is not None and value < 1.195 else 'faster'}"


def milliseconds_text(value_ms: float | None) -> str:
    """34 µs below a millisecond, 1.25 ms, 2.0 s above a second."""
    if value_ms is None or not math.isfinite(value_ms):
        return UNKNOWN
    if value_ms < 0.9995:
        return f"{1000 * value_ms:.0f}{NBSP}µs" if value_ms >= 0.00995 else f"{1000 * value_ms:.1f}{NBSP}µs"
    if value_ms >= 999.5:
        return seconds_text(value_ms / 1000)
    return f"{value_ms:.3g}{NBSP}ms"


def seconds_text(value_s: float | None) -> str:
    """12 s, 3 min 20 s, 2 h 05 min."""
    if value_s is None or not math.isfinite(value_s):
        return UNKNOWN
    if value_s < 9.95:
        return f"{value_s:.1f}{NBSP}s"
    whole = round(value_s)
    if whole < 60:
        return f"{whole}{NBSP}s"
    if whole < 3600:
        return f"{whole // 60}{NBSP}min{NBSP}{whole % 60:02d}{NBSP}s"
    return f"{whole // 3600}{NBSP}h{NBSP}{whole % 3600 // 60:02d}{NBSP}min"


def number_text(value: float | None) -> str:
    """Three significant digits with thousands separators: 1,230, 12.3, 0.0123."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) >= 999.5 or value == int(value) else f"{value:.3g}"


def points_text(fraction: float, kind: str) -> str:
    """A drop as the gate counts it: points of the rows, or percent of the squared error for regression."""
    if not math.isfinite(fraction):
        return UNKNOWN
    if abs(fraction) > 1e3:
        return "without bound"
    shown = f"{100 * fraction:.1f}".replace("-0.0", "0.0").replace("-", "\u2212")
    return f"{shown}{NBSP}%" if kind == "regression" else f"{shown}{NBSP}points"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """1 device, 2 devices."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def limit_text(name: str, value: float | None) -> str:
    """A figure of a budget, by the unit its name carries."""
    if name.endswith("_ms"):
        return milliseconds_text(value)
    if name.endswith("_bytes"):
        return bytes_text(value)
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{number_text(value)}{NBSP}mJ" if value >= 0.1 else f"{number_text(1000 * value)}{NBSP}µJ"


def short(name: str, most: int = 18) -> str:
    """The name, or its two ends where it is longer than `most` characters."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most - most // 2 - 1) :]}"
