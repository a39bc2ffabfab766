"""What a device's data look like: a bar per class, or the spread of a target."""

from collections.abc import Sequence

from fedtailor.protos.data_profile import DataProfile
from fedtailor.server.report.markup import Markup, tag
from fedtailor.server.report.svg import Frame, drawing, linear, with_tip
from fedtailor.server.report.wording import number_text


def data_plot(data: DataProfile, name: str) -> Markup | None:
    """Class counts or target quantiles of the train rows; None where the profile holds neither."""
    if any(data.class_counts):
        return _histogram(data.class_counts, "symbol" if data.kind == "next-token" else "class", name)
    if len(data.target_quantiles) == 5:
        return _spread(data.target_quantiles, name)
    return None


def _histogram(counts: Sequence[int], noun: str, name: str) -> Markup:
    frame = Frame(width=280, height=96, left=4, right=4, top=14, bottom=18)
    (start, end), (bottom, top) = frame.x_range, frame.y_range
    step = (end - start) / len(counts)
    height = linear((0, max(counts)), (0, bottom - top))
    every = max(1, -(-len(counts) // 12))
    return drawing(
        name,
        f"Train rows per {noun}",
        ", ".join(f"{noun} {place}: {count}" for place, count in enumerate(counts)),
        frame,
        tag("text", f"most: {max(counts):,}", class_="tick", x=end, y=10, text_anchor="end"),
        [
            with_tip(
                f"{noun} {place}: {count:,} rows",
                "rect",
                class_="bar",
                x=start + place * step + step * 0.1,
                y=bottom - height(count),
                width=step * 0.8,
                height=height(count),
            )
            for place, count in enumerate(counts)
        ],
        [
            tag("text", str(place), class_="tick", x=start + (place + 0.5) * step, y=bottom + 14, text_anchor="middle")
            for place in range(0, len(counts), every)
        ],
        tag("line", class_="axis", x1=start, x2=end, y1=bottom, y2=bottom),
    )


def _spread(quantiles: Sequence[float], name: str) -> Markup:
    frame = Frame(width=280, height=74, left=14, right=14, top=8, bottom=30)
    low, first, middle, third, high = quantiles
    x = linear((low, high), frame.x_range)
    y = 24.0
    shown = ((low, "start"), (middle, "middle"), (high, "end"))
    return drawing(
        name,
        "Spread of the target over the train rows",
        f"least {number_text(low)}, quarter {number_text(first)}, median {number_text(middle)}, "
        f"three quarters {number_text(third)}, most {number_text(high)}",
        frame,
        tag("line", class_="axis", x1=x(low), x2=x(high), y1=y, y2=y),
        tag("rect", class_="bar", x=x(first), y=y - 9, width=x(third) - x(first), height=18.0),
        tag("line", class_="limit", x1=x(middle), x2=x(middle), y1=y - 12, y2=y + 12),
        [tag("text", number_text(v), class_="tick", x=x(v), y=y + 30, text_anchor=anchor) for v, anchor in shown],
    )
