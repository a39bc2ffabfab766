"""`fedtailor report`: what a run found."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN")],
    as_json: Annotated[bool, typer.Option("--json", help="the summary as JSON on stdout, for programs")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="also write the page")] = None,
) -> None:
    """Scores, efficiency and verdicts of one run, device by device; RUN is the folder it wrote.

    Artefacts that are missing or damaged are named beside it.
    """
    from fedtailor.cli.output import print_summary, stderr
    from fedtailor.server.registry import open_registry
    from fedtailor.server.report.page import to_html
    from fedtailor.server.summarise import summarise

    with open_registry(run, create=False) as registry:
        summary = summarise(registry)
        for line in registry.check():
            stderr().print(line, markup=False, soft_wrap=True)
    if html is not None:
        _write(html, to_html(summary))
        stderr().print(f"page: {html}", markup=False, soft_wrap=True)
    print_summary(summary, as_json=as_json)


def _write(path: Path, text: str) -> None:
    from fedtailor.protos.errors import ConfigError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--html {path}: expected a file that can be written, got: {error.strerror}") from None
