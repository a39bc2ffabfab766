"""Keys to the marks of the plots, drawn with the marks themselves."""

from fedtailor.protos.verdict import NOT_SHOWN_WORSE, PROVEN, REJECTED
from fedtailor.server.report.claim import OUTCOME_WORDS
from fedtailor.server.report.markup import Markup, tag
from fedtailor.server.report.plot_pareto import verdict_mark
from fedtailor.server.report.plot_scores import score_mark
from fedtailor.server.report.svg import cross, square

MIDDLE = 8.0


def verdict_legend() -> Markup:
    """Marks of the size-against-score plot."""
    entries = [(OUTCOME_WORDS[v], verdict_mark(v, (MIDDLE, MIDDLE), "")) for v in (PROVEN, NOT_SHOWN_WORSE, REJECTED)]
    entries.append(("fp32 reference", _path("mark reference", square(MIDDLE, MIDDLE, 3.6))))
    entries.append(("deployed", tag("circle", class_="mark deployed", cx=MIDDLE, cy=MIDDLE, r=7)))
    return _legend(entries)


def score_legend() -> Markup:
    """Marks of the score plot."""
    words = {"base": "shared base", "personal": "personal, fp32", "variant": "deployed variant"}
    return _legend([(text, score_mark(word, MIDDLE, MIDDLE, "")) for word, text in words.items()])


def latency_legend() -> Markup:
    """Marks of the latency plot."""
    return _legend(
        [
            ("deployed, within budget", tag("circle", class_="latency met", cx=MIDDLE, cy=MIDDLE, r=4.8)),
            ("deployed, over budget", _path("latency unmet", cross(MIDDLE, MIDDLE, 4))),
            ("fp32 reference", _path("mark reference", square(MIDDLE, MIDDLE, 3.6))),
            ("budget", tag("line", class_="limit", x1=MIDDLE, x2=MIDDLE, y1=0, y2=16)),
        ]
    )


def _path(class_: str, drawn: str) -> Markup:
    return tag("path", class_=class_, d=drawn)


def _legend(entries: list[tuple[str, Markup]]) -> Markup:
    return tag(
        "ul",
        [tag("li", tag("svg", mark, viewBox="0 0 16 16", aria_hidden="true"), text) for text, mark in entries],
        class_="legend",
    )
