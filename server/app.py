"""The Flower ServerApp: reads the run config, runs the job, tells where it stands."""

import sys
import tomllib
from pathlib import Path
from typing import Any

from flwr.app import Context, UserConfig
from flwr.serverapp import Grid, ServerApp

from fedtailor.protos.errors import ConfigError
from fedtailor.protos.summary import Summary
from fedtailor.server.coordinator import run_job
from fedtailor.server.job import Job, anchored, job_from
from fedtailor.server.progress import Progress
from fedtailor.server.registry import open_registry
from fedtailor.server.run_lock import only_writer

CONFIG, RUN, REGISTRY = "config", "run", "registry"
PREFIX = "job."


def server_app(progress: Progress | None = None) -> ServerApp:
    """The app for `flwr run`, a SuperLink, or any Grid. Run config:

    config: path of a TOML file with a `[job]` table; `job.rounds` and the like set single values over it.
    run: the run folder; the config's own folder where it is left out. registry: a PostgreSQL URL instead of SQLite.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        serve(grid, context.run_config, progress or print_progress)

    return app


def serve(grid: Grid, config: UserConfig, progress: Progress) -> Summary:
    """Run the job that the run config describes.

    Raises:
        ConfigError: neither `run` nor `config` is given, or the job asks for something that cannot be.
        RegistryError: the registry cannot be used, or another process writes this run.
    """
    job = read_job(config)
    folder = _text(config, RUN) or (str(Path(path).parent) if (path := _text(config, CONFIG)) else "")
    if not folder:
        raise ConfigError("run config: expected run (a folder) or config (a TOML file with a [job] table), got neither")
    with only_writer(Path(folder)), open_registry(Path(folder), _text(config, REGISTRY) or None) as registry:
        return run_job(grid, job, registry, progress)


def read_job(config: UserConfig) -> Job:
    """The job of a run config.

    Raises:
        ConfigError: the file cannot be read or is no TOML, or a key, type or value is wrong.
    """
    path = _text(config, CONFIG)
    table = _job_table(Path(path)) if path else {}
    for key, value in config.items():
        if key.startswith(PREFIX):
            _set(table, key.removeprefix(PREFIX).split("."), value)
    return anchored(job_from(table), Path(path).parent)


def print_progress(stage: str, done: int, total: int, note: str) -> None:
    """A line for every step, on stderr."""
    print(f"{stage} {done}/{total} {note}".rstrip(), file=sys.stderr, flush=True)


def _job_table(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None
    job = table.get("job", {})
    if not isinstance(job, dict):
        raise ConfigError(f"{path}: job: expected a table, got {job!r}")
    return job


def _set(table: dict[str, Any], keys: list[str], value: object) -> None:
    """Write a value at dotted `keys`; what cannot hold it is left for `job_from` to refuse."""
    for key in keys[:-1]:
        table = table.setdefault(key, {}) if isinstance(table.get(key, {}), dict) else table
    table[keys[-1]] = value


def _text(config: UserConfig, key: str) -> str:
    value = config.get(key, "")
    if not isinstance(value, str):
        raise ConfigError(f"run config: {key}: expected a text, got {value!r}")
    return value


app = server_app()
