"""What a run knows and keeps: rows in SQLite (in the run folder) or PostgreSQL (by URL), content as artefacts.

Every change is one transaction, and an artefact is on the disk before a row names it. So a process killed at any
moment leaves the last committed round whole.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from fedtailor.protos.errors import DecodeError, RegistryError
from fedtailor.protos.messages import Snapshot
from fedtailor.protos.summary import RoundRow
from fedtailor.protos.wire import from_bytes, to_bytes
from fedtailor.server.artifacts import Artifacts
from fedtailor.server.database import connect, sqlite_file
from fedtailor.server.problem import Problem, one_line
from fedtailor.server.rows import (
    SCHEMA_VERSION,
    ArtifactRow,
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
        base: Snapshot | None,
        *,
        updates: Sequence[UpdateRow] = (),
        problems: Sequence[Problem] = (),
        rows: Sequence[Row] = (),
    ) -> None:
        """Record a round, with the base it leads to (None: abandoned) and the updates merged into it: all or nothing.

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
            add_problems(session, problems, stage="train", round_=outcome.round)

    def last_committed(self, *, before: int | None = None) -> tuple[int, Snapshot] | None:
        """The last round that was committed (`before` another), and its base; None if there is none.

        Raises:
            RegistryError: its artefact is missing or damaged.
        """
        with self.transaction() as session:
            query = select(RoundEntry).where(RoundEntry.base_sha256.is_not(None)).order_by(RoundEntry.round.desc())
            earlier = query if before is None else query.where(RoundEntry.round < before)
            entry = session.scalars(earlier.limit(1)).first()
        if entry is None or entry.base_sha256 is None:
            return None
        data = self.artifacts.get(entry.base_sha256)
        return entry.round, from_bytes(Snapshot, data, sender=str(self.artifacts.path(entry.base_sha256)))

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
        """Make the tables where there are none, and check that they are ours."""
        try:
            if not inspect(self._engine).has_table(RunRow.__tablename__):
                if not create:
                    raise RegistryError(f"{self.name}: holds no run; name the folder that a run wrote")
                Row.metadata.create_all(self._engine)
            if sqlite_file(self._engine):
                self._check_pages()
        except SQLAlchemyError as error:
            raise self._explained(error) from error
        with self.transaction() as session:
            run = session.get(RunRow, 1)
        if run is not None and run.schema_version != SCHEMA_VERSION:
            raise RegistryError(
                f"{self.name}: written with schema version {run.schema_version}, expected {SCHEMA_VERSION}; "
                "open it with the fedtailor that wrote it"
            )

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
    "full": "free some space and start again",
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
    registry = Registry(connect(run, url, create=create), Artifacts(run / "artifacts"))
    try:
        registry.prepare(create=create)
    except BaseException:
        registry.close()
        raise
    return registry


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
