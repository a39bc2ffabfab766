"""Where things are printed: data to stdout, remarks and progress to stderr."""

import json
import os
import sys

from rich.console import Console, RenderableType

from fedtailor.protos.summary import Summary

PIPE_WIDTH = 120  # a file or a pipe has no width of its own


def stderr() -> Console:
    """For progress and remarks."""
    return Console(stderr=True, highlight=False)


def stdout() -> Console:
    """For data; plain text where it is no terminal."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(width=width, highlight=False)


def print_json(value: object) -> None:
    """Indented; a NaN would be our fault, and raises."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_rich(shown: RenderableType) -> None:
    """A table or text."""
    stdout().print(shown)


def print_summary(summary: Summary, *, as_json: bool) -> None:
    """One run as JSON, or as a table as wide as the terminal."""
    if as_json:
        from fedtailor.server.report.summary_json import summary_dict

        print_json(summary_dict(summary))
    else:
        from fedtailor.server.report.tables import to_table

        console = stdout()
        console.print(to_table(summary, console.width))
