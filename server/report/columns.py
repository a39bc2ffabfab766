"""A table for a terminal: as many columns as its width allows, none of them broken over two lines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from fedtailor.protos.verdict import NOT_SHOWN_WORSE, PROVEN, REJECTED

VERDICT_STYLES = {PROVEN: "green", NOT_SHOWN_WORSE: "yellow", REJECTED: "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column as text. `drop` orders what goes first where the terminal is narrow; 0 always stays."""

    title: str
    cells: Sequence[str]
    footer: str = ""
    drop: int = 0
    number: bool = True

    @property
    def width(self) -> int:
        return max(map(len, [*self.title.split("\n"), *self.cells, self.footer]))


def fitting_table(
    columns: Sequence[Column], width: int, style_of: Callable[[str], str], *, bold_row: int | None = None
) -> Table:
    """A table of those columns that fit into `width` characters; `style_of` gives the style of a cell by its text."""
    kept, gap = _fitting(columns, width)
    padding = (0, gap - 1, 0, 0)  # the box itself puts one space between columns
    footers = any(column.footer for column in kept)
    table = Table(box=box.SIMPLE_HEAD, show_footer=footers, padding=padding, pad_edge=False, show_edge=False)
    for column in kept:
        footer = Text(column.footer, style="bold")
        table.add_column(column.title, footer=footer, justify="right" if column.number else "left", no_wrap=True)
    for at, cells in enumerate(zip(*(column.cells for column in kept), strict=True)):
        table.add_row(*(Text(cell, style_of(cell)) for cell in cells), style="bold" if at == bold_row else None)
    return table


def _fitting(columns: Sequence[Column], width: int) -> tuple[list[Column], int]:
    """Columns and the gap between them: all, closer together, or less those with the highest `drop`."""
    kept = list(columns)
    if sum(column.width for column in kept) + 2 * (len(kept) - 1) <= width:
        return kept, 2
    while sum(column.width + 1 for column in kept) - 1 > width and any(column.drop for column in kept):
        kept.remove(max(kept, key=lambda column: column.drop))
    return kept, 1
