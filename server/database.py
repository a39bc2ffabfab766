"""A connection to SQLite or PostgreSQL; the only place that knows which of the two it is."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from fedtailor.protos.errors import MissingExtra, RegistryError
from fedtailor.server.artifacts import FOLDER

FILE = "registry.sqlite"
BUSY_S = 30


def connect(run: Path, url: str | None, *, create: bool) -> Engine:
    """An engine for `url`, or for the SQLite file in `run`; connects when first used."""
    return _sqlite(run, create=create) if url is None else _postgres(url)


def sqlite_file(engine: Engine) -> str | None:
    """The path of an SQLite database, None for PostgreSQL."""
    return engine.url.database if engine.dialect.name == "sqlite" else None


def _sqlite(run: Path, *, create: bool) -> Engine:
    path = run / FILE
    try:
        if create:
            run.mkdir(parents=True, exist_ok=True)
        exists = path.exists()
        begun = any((run / FOLDER).glob("*/*"))  # else its first process was killed before the first byte
        empty = exists and begun and path.stat().st_size == 0
    except OSError as error:
        raise RegistryError(f"{path}: cannot be opened ({error.strerror}); make the folder writable") from error
    if empty:
        raise RegistryError(
            f"{path}: has 0 bytes, it was truncated; restore it from a backup, or delete it to start anew"
        )
    if not exists and not create:
        raise RegistryError(f"{path}: not there; name the folder that a run wrote")
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_S})
    event.listen(engine, "connect", _configure)
    return engine


def _configure(connection: Any, _: object) -> None:
    for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {setting}")


def _postgres(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise RegistryError("registry URL: expected postgresql://user:password@host/database, got no URL") from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise RegistryError(f"registry URL: expected postgresql://…, got {parsed.drivername}://…")
    if find_spec("psycopg") is None:
        raise MissingExtra("psycopg", "postgres", "a registry on PostgreSQL")
    return create_engine(parsed.set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": 10})
