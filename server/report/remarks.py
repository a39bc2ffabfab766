"""What a reader should know beside the figures: withdrawn recipes, fallbacks, problems; a line each."""

from collections.abc import Iterator

from fedtailor.protos.summary import Summary
from fedtailor.protos.variant import FALLBACK
from fedtailor.server.report.drifted import drift_text


def remarks(summary: Summary) -> list[str]:
    """Withdrawn recipes, then device by device, then the rounds; an equal problem of several rounds is one line."""
    return [*_withdrawn(summary), *_of_devices(summary), *_of_rounds(summary)]


def _withdrawn(summary: Summary) -> Iterator[str]:
    if summary.withdrawn:
        yield f"withdrawn, rejected on the fleet's pooled rows: {', '.join(summary.withdrawn)}"


def _of_devices(summary: Summary) -> Iterator[str]:
    for row in summary.devices:
        name = row.hardware.device_id
        if row.variant and row.variant.rung.recipe == FALLBACK:
            yield f"{name}: runs {row.variant.reason}"
        for each in row.drifts:
            shifts = drift_text(each.drift, each.parts, summary.kind)
            yield f"{name}: its data had moved before round {each.round} ({shifts}); planned anew"
        yield from (_named(name, problem) for problem in row.problems)


def _named(name: str, problem: str) -> str:
    return problem if problem.startswith(f"device {name}") else f"{name}: {problem}"


def _of_rounds(summary: Summary) -> Iterator[str]:
    rounds: dict[str, list[int]] = {}
    for row in summary.rounds:
        for problem in row.problems:
            rounds.setdefault(problem, []).append(row.round)
    for problem, numbers in rounds.items():
        yield f"{'round' if len(numbers) == 1 else 'rounds'} {_listed(numbers)}: {problem}"


def _listed(numbers: list[int]) -> str:
    """The numbers, or the first few of them and how many."""
    if len(numbers) <= 6:
        return ", ".join(map(str, numbers))
    return f"{', '.join(map(str, numbers[:3]))} … {numbers[-1]} ({len(numbers)} in all)"
