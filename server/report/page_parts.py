"""Small pieces that every part of the page uses."""

from collections.abc import Iterable, Sequence

from fedtailor.protos.verdict import NOT_SHOWN_WORSE, PROVEN, REJECTED
from fedtailor.server.report.budgets import over_budget
from fedtailor.server.report.claim import OUTCOME_WORDS
from fedtailor.server.report.figures import DeviceFigures
from fedtailor.server.report.markup import Child, Markup, join, tag
from fedtailor.server.report.wording import UNKNOWN

_TONES = {PROVEN: "good", NOT_SHOWN_WORSE: "warn", REJECTED: "bad"}


def outcome_badge(outcome: str) -> Markup:
    """A verdict in a word; colour repeats what the word says."""
    return tag("span", OUTCOME_WORDS.get(outcome, outcome), class_=f"badge {_TONES.get(outcome, 'plain')}")


def budget_badge(device: DeviceFigures) -> Markup:
    """`met`, or what exceeds the budget."""
    if device.met is None:
        return tag("span", "no limit" if device.row.variant else UNKNOWN, class_="badge plain")
    if device.met:
        return tag("span", "met", class_="badge good")
    return tag("span", f"over: {', '.join(over_budget(device.checks))}", class_="badge bad")


def pairs(entries: Iterable[tuple[str, Child]]) -> Markup:
    """A list of terms with their values."""
    return tag("dl", [join(tag("dt", term), tag("dd", value)) for term, value in entries], class_="pairs")


def heading_row(titles: Sequence[str], numbers: frozenset[int]) -> Markup:
    """A table's head; columns in `numbers` are set to the right."""
    cells = [
        tag("th", title, scope="col", class_="number" if place in numbers else None)
        for place, title in enumerate(titles)
    ]
    return tag("thead", tag("tr", cells))


def table_row(cells: Sequence[Child], numbers: frozenset[int], *, class_: str | None = None) -> Markup:
    """A table's row; the first cell heads it."""
    first, *rest = cells
    return tag(
        "tr",
        tag("th", first, scope="row"),
        [tag("td", cell, class_="number" if place in numbers else None) for place, cell in enumerate(rest, start=1)],
        class_=class_,
    )


def panel(title: str, note: str, body: Child, legend: Child = None) -> Markup:
    """A titled figure with what it shows in a sentence."""
    return tag(
        "section",
        tag("h3", title),
        tag("figure", tag("figcaption", note), tag("div", body, class_="scroll"), legend),
        class_="panel",
    )


def problem_list(lines: Iterable[str]) -> Markup | None:
    """One line each; None where there is none."""
    items = [tag("li", line) for line in lines]
    return tag("ul", items, class_="problems") if items else None
