"""The command `fedtailor`: one file per subcommand, one place where faults become exit codes."""

import signal
import sys
from importlib.metadata import version
from types import FrameType
from typing import Annotated

import click
import typer

from fedtailor.cli.bench import bench
from fedtailor.cli.optimize import optimize
from fedtailor.cli.prepare import prepare
from fedtailor.cli.profile import profile
from fedtailor.cli.report import report
from fedtailor.cli.simulate import simulate
from fedtailor.protos.errors import FedTailorError

INTERRUPTED = 130  # what typer makes of Ctrl-C, as shells do
TERMINATED = 143  # what shells make of SIGTERM

app = typer.Typer(
    name="fedtailor",
    help="One shared model, tailored to every device of a fleet and measured where it runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(simulate)
app.command()(optimize)
app.command()(report)
app.command()(prepare)
app.command()(profile)
app.add_typer(bench, name="bench")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"fedtailor {version('fedtailor')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="print the version and end", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point: a fault of the input is one line on stderr and exit code 2, one of ours a traceback and 1."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        _fail(f"{error.format_message()} (fedtailor --help lists what is known)", 2)
    except FedTailorError as error:
        _fail(str(error), 2)
    except SystemExit as ending:
        code = ending.code
    if code in (INTERRUPTED, TERMINATED):
        _fail("stopped", code)
    sys.exit(code if isinstance(code, int) else 0)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    """As Ctrl-C does: what is open is closed, and child processes are ended."""
    raise SystemExit(TERMINATED)


def _fail(message: str, code: int) -> None:
    line = " ".join(message.split())
    click.echo(f"fedtailor: {line}", err=True)
    sys.exit(code)
