"""Progress is a bar on a terminal and a few lines elsewhere."""

import io

from rich.console import Console

from fedtailor.cli.progress import LINES_A_STAGE, shown_progress


def lines_of(*calls, terminal=False):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)
    with shown_progress(console) as progress:
        for call in calls:
            progress(*call)
    return console.file.getvalue().splitlines()


def test_a_long_stage_is_a_line_for_about_every_tenth():
    lines = lines_of(*(("train", done, 400, f"{done}") for done in range(401)))
    assert len(lines) == LINES_A_STAGE + 1
    assert lines[0] == "train: 0 of 400, 0"
    assert lines[-1] == "train: 400 of 400, 400"


def test_a_short_stage_shows_every_step_once():
    assert lines_of(("tailor", 1, 2, ""), ("tailor", 1, 2, ""), ("tailor", 2, 2, "")) == [
        "tailor: 1 of 2",
        "tailor: 2 of 2",
    ]


def test_stages_do_not_hide_each_other():
    assert len(lines_of(("train", 1, 1, ""), ("tailor", 1, 1, ""))) == 2


def test_a_stage_without_steps_is_told_once():
    assert lines_of(("join", 0, 0, "waiting"), ("join", 0, 0, "waiting")) == ["join: 0 of 0, waiting"]


def test_notes_cannot_smuggle_markup():
    assert lines_of(("train", 1, 1, "[red]x[/red]")) == ["train: 1 of 1, [red]x[/red]"]


def test_a_terminal_gets_a_bar_a_stage():
    text = "\n".join(lines_of(("train", 3, 40, "[b] 91.2 %"), ("tailor", 1, 10, ""), terminal=True))
    assert "3/40" in text
    assert "[b] 91.2 %" in text
    assert "1/10" in text
