"""What a run knows and keeps: rows in SQLite (in the run folder) or PostgreSQL (by URL), content as artefacts.

Every change is one transaction, and an artefact is on the disk before a row names it. So a process killed at any
moment leaves the last committed round whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from fedtailor.protos.checkpoint import Checkpoint
from fedtailor.protos.errors import DecodeError, RegistryError
from fedtailor.protos.summary import RoundRow
from fedtailor.protos.wire import from_bytes, to_bytes
from fedtailor.server.artifacts import FOLDER, Artifacts
from fedtailor.server.database import connect, sqlite_file
from fedtailor.server.problem import Problem, one_line
from fedtailor.server.rows import (
    SCHEMA_VERSION,
    ArtifactRow,
    DeviceEntry,
    ProblemRow,
    RoundEntry,
    Row,
    RunRow,
    UpdateRow,
)

BASE, VARIANT = "base", "variant"


class Registry:
    """One run. Use as a context manager, or close it."""

    def __init__(self, engine: Engine, artifacts: Artifacts) -> None:
        self._engine = engine
        self.artifacts = artifacts
        self.name = sqlite_file(engine) or engine.url.render_as_string(hide_password=True)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that is committed as a whole at the end, or not at all.

        Raises:
            RegistryError: the database cannot be reached, read or written; one line that says what to do.
        """
        try:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                yield session
        except SQLAlchemyError as error:
            raise self._explained(error) from error

    def put_artifact(self, session: Session, data: bytes, kind: str) -> str:
        """Keep `data` on the disk, then name it in `session`."""
        sha256 = self.artifacts.put(data)
        if session.get(ArtifactRow, sha256) is None:
            session.add(ArtifactRow(sha256=sha256, kind=kind, size_bytes=len(data)))
            session.flush()  # before a row that refers to it
        return sha256

    def commit_round(
        self,
        outcome: RoundRow,
        base: Checkpoint | None,
        *,
        updates: Sequence[UpdateRow] = (),
        problems: Sequence[Problem] = (),
        rows: Sequence[Row] = (),
        held: Mapping[str, int | None] = MappingProxyType({}),
    ) -> None:
        """Record a round, with the base it leads to (None: abandoned) and the updates merged into it: all or nothing.

        held: `save_held`.

        Raises:
            RegistryError: the round is recorded already, or the database or disk failed; nothing has changed.
        """
        with self.transaction() as session:
            if session.get(RoundEntry, outcome.round) is not None:
                raise RegistryError(
                    f"{self.name}: round {outcome.round} is recorded already; resume from the round after"
                )
            sha256 = self.put_artifact(session, to_bytes(base), BASE) if base else None
            session.add(_round_entry(outcome, sha256))
            session.flush()  # before its updates
            session.add_all([*updates, *rows])
            save_held(session, held)
            add_problems(session, problems, stage="train", round_=outcome.round)

    def last_committed(self) -> tuple[int, Checkpoint] | None:
        """The last round that was committed, and its base; None if there is none.

        Raises:
            RegistryError: its artefact is missing or damaged.
        """
        last = self.checkpoints(1)
        return (last[0].base_version, last[0]) if last else None

    def checkpoints(self, most: int) -> list[Checkpoint]:
        """The bases of the last rounds that were committed, oldest first, at most so many.

        Raises:
            RegistryError: the artefact of one is missing or damaged.
        """
        with self.transaction() as session:
            committed = select(RoundEntry.base_sha256).where(RoundEntry.base_sha256.is_not(None))
            names = session.scalars(committed.order_by(RoundEntry.round.desc()).limit(most)).all()
        return [self._checkpoint(name) for name in reversed(names) if name is not None]

    def _checkpoint(self, sha256: str) -> Checkpoint:
        return from_bytes(Checkpoint, self.artifacts.get(sha256), sender=str(self.artifacts.path(sha256)))

    def check(self) -> tuple[str, ...]:
        """A line for every artefact that is missing or damaged, and for a last base that cannot be read."""
        with self.transaction() as session:
            names = session.scalars(select(ArtifactRow.sha256).order_by(ArtifactRow.sha256)).all()
        lines = []
        for name in names:
            try:
                self.artifacts.get(name)
            except RegistryError as error:
                lines.append(str(error))
        try:
            self.last_committed()
        except (RegistryError, DecodeError) as error:
            lines.append(f"last committed round: {error}")
        return tuple(lines)

    def prepare(self, *, create: bool) -> None:
        """Make the tables that are not there, and check that those that are there are ours."""
        try:
            begun = inspect(self._engine).has_table(RunRow.__tablename__)
            if not begun and not create:
                raise RegistryError(f"{self.name}: holds no run; name the folder that a run wrote")
            if sqlite_file(self._engine):
                self._check_pages()
        except SQLAlchemyError as error:
            raise self._explained(error) from error
        if begun:
            self._check_version()
        if create:  # all of them: SQLite makes one at a time, and whoever began may have been killed in between
            self._make_tables()

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_version(self) -> None:
        with self.transaction() as session:
            run = session.get(RunRow, 1)
        if run is not None and run.schema_version != SCHEMA_VERSION:
            raise RegistryError(
                f"{self.name}: written with schema version {run.schema_version}, expected {SCHEMA_VERSION}; "
                "open it with the fedtailor that wrote it"
            )

    def _make_tables(self) -> None:
        try:
            Row.metadata.create_all(self._engine)
        except SQLAlchemyError as error:
            raise self._explained(error) from error

    def _check_pages(self) -> None:
        with self._engine.connect() as connection:
            found = connection.execute(text("PRAGMA quick_check(1)")).scalar()
        if found != "ok":
            raise RegistryError(f"{self.name}: damaged ({one_line(str(found))}); {_RESTORE}")

    def _explained(self, error: SQLAlchemyError) -> RegistryError:
        cause = one_line(str(error.orig if isinstance(error, DBAPIError) else error))
        advice = next((advice for words, advice in _ADVICE.items() if words in cause), "see the cause in brackets")
        return RegistryError(f"{self.name}: cannot be used ({cause}); {advice}")


_RESTORE = "restore it from a backup, or start the run anew in another folder"
_ADVICE = {
    "malformed": _RESTORE,
    "not a database": _RESTORE,
    "disk I/O": _RESTORE,
    "full": "free some space and resume the run",
    "locked": "another process is writing to it; wait for that one to end",
    "readonly": "make the file and its folder writable",
    "unable to open": "make the folder writable",
    "onnect": "start the database server and check host, port, user and password in the URL",
    "password": "check user and password in the URL",
    "UNIQUE": "this was recorded before; another process may be running the same job",
    "duplicate key": "this was recorded before; another process may be running the same job",
}


def open_registry(run: Path, url: str | None = None, *, create: bool = True) -> Registry:
    """The registry of the run folder: `registry.sqlite` in it, or the database at `url`; artefacts in `artifacts/`.

    create: make folder and tables where there are none; else they must be there.

    Raises:
        RegistryError: it cannot be opened, is damaged, or was written by another version.
        MissingExtra: `url` is PostgreSQL and its driver is not installed.
    """
    registry = Registry(connect(run, url, create=create), Artifacts(run / FOLDER))
    try:
        registry.prepare(create=create)
    except BaseException:
        registry.close()
        raise
    return registry


def save_held(session: Session, held: Mapping[str, int | None]) -> None:
    """Which version of the public base each device holds from now on; None: that is not known."""
    for device_id, version in held.items():
        session.get_one(DeviceEntry, device_id).held_version = version


def add_problems(session: Session, problems: Sequence[Problem], *, stage: str, round_: int) -> None:
    session.add_all(ProblemRow(stage=stage, round=round_, device_id=p.device_id, line=p.line) for p in problems)


def _round_entry(outcome: RoundRow, base_sha256: str | None) -> RoundEntry:
    return RoundEntry(
        round=outcome.round,
        base_version=outcome.base_version,
        base_sha256=base_sha256,
        asked=outcome.asked,
        answered=outcome.answered,
        base_validation_score=outcome.base_validation_score,
        train_loss=outcome.train_loss,
        uplink_bytes=outcome.uplink_bytes,
        downlink_bytes=outcome.downlink_bytes,
        seconds=outcome.seconds,
    )
