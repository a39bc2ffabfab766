import io

import pytest
from rich.console import Console

from fedtailor.server.report.columns import Column, fitting_table

COLUMNS = [
    Column(title="device", cells=["till-1", "till-2"], number=False, footer="all 2"),
    Column(title="often\nread", cells=["1.0", "22.0"]),
    Column(title="seldom", cells=["a long cell", "b"], drop=2),
    Column(title="sometimes", cells=["c", "d"], drop=1),
]


def shown(width, columns=COLUMNS, **options):
    console = Console(width=width, file=io.StringIO(), color_system="standard", force_terminal=True)
    console.print(fitting_table(columns, width, lambda cell: "red" if cell == "b" else "", **options))
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("width", "titles"),
    [(50, "device read seldom sometimes"), (25, "device read sometimes"), (14, "device read"), (12, "device read")],
)
def test_what_is_read_most_stays_longest(width, titles):
    text = shown(width)
    assert [title for title in ("device", "read", "seldom", "sometimes") if title in text] == titles.split()


def test_a_cell_is_styled_by_its_text_and_one_row_stands_out():
    lines = shown(80, bold_row=0).splitlines()
    assert "\x1b[31m          b" in next(line for line in lines if "till-2" in line)
    assert "\x1b[1m" in next(line for line in lines if "till-1" in line)
    assert "\x1b[1m" not in next(line for line in lines if "till-2" in line)


def test_without_footers_there_is_no_line_for_them():
    assert "all 2" in shown(80)
    assert len(shown(80, COLUMNS[1:]).splitlines()) < len(shown(80).splitlines())
