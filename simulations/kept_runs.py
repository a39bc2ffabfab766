"""Errands of a bench in worker processes; what one found is kept as a file.

So a bench that was interrupted takes up where it stopped.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from fedtailor.simulations.task_pool import in_processes


class Errand(Protocol):
    """A piece of work; `file` is named by all that decides what comes of it, but for the code itself."""

    @property
    def file(self) -> str:
        """The name of the file that keeps what was found."""


Task = TypeVar("Task", bound=Errand)
Result = TypeVar("Result")  # a dataclass
Told = Callable[[int, Result | None], None]  # errands done, and what the last one found


@dataclass(frozen=True, kw_only=True)
class Shelf(Generic[Result]):
    """Where results are kept, None for nowhere, and how one is made of what its file says."""

    folder: Path | None
    read: Callable[[dict[str, Any]], Result]


def file_name(stem: str, asked: Mapping[str, object]) -> str:
    """For an errand of which `asked` is all that decides what comes of it, as JSON."""
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return f"{stem}-{digest[:12]}.json"


def carried_out(
    carry_out: Callable[[Task], tuple[str, Result]],
    errands: Sequence[Task],
    shelf: Shelf[Result],
    workers: int,
    told: Told[Result],
) -> list[Result]:
    """What each errand found, in their order.

    carry_out: in a process of its own; gives the name of the errand's file with what it found.
    """
    found = {errand.file: kept for errand in errands if (kept := _kept(shelf, errand.file)) is not None}
    missing = [errand for errand in errands if errand.file not in found]
    told(len(found), None)
    for name, result in in_processes(carry_out, missing, workers):
        found[name] = result
        if shelf.folder is not None:
            _keep(shelf.folder / name, result)
        told(len(found), result)
    return [found[errand.file] for errand in errands]


def _kept(shelf: Shelf[Result], name: str) -> Result | None:
    path = None if shelf.folder is None else shelf.folder / name
    if path is None or not path.exists():
        return None
    return shelf.read(json.loads(path.read_text(encoding="utf-8")))


def _keep(path: Path, result: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(result), indent=2), encoding="utf-8")
    part.replace(path)  # a bench that is killed here leaves no half of a file
