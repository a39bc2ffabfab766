"""Live progress on stderr: bars on a terminal, a line now and then elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from fedtailor.server.progress import Progress

LINES_A_STAGE = 10


@contextmanager
def shown_progress(console: Console) -> Iterator[Progress]:
    """A function to call with stage, done, total and a note."""
    if console.is_terminal:
        with _bars(console) as bars:
            yield _on(bars)
    else:
        yield _lines(console)


def _bars(console: Console) -> Bars:
    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
    )


def _on(bars: Bars) -> Progress:
    """One bar per stage, in the order in which the stages first report."""
    tasks: dict[str, TaskID] = {}

    def show(stage: str, done: int, total: int, note: str) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total, note=note)
        bars.update(tasks[stage], completed=done, total=total, note=note)

    return show


def _lines(console: Console) -> Progress:
    """The first report of a stage, its last, and about `LINES_A_STAGE` between."""
    shown: dict[str, int] = {}

    def show(stage: str, done: int, total: int, note: str) -> None:
        tenth = LINES_A_STAGE * done // total if total else LINES_A_STAGE
        if shown.get(stage) == tenth:
            return
        shown[stage] = tenth
        line = f"{stage}: {done} of {total}" + (f", {note}" if note else "")
        console.print(line, markup=False, soft_wrap=True)

    return show
