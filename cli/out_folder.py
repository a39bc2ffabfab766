"""The folder that a command leaves its files in: checked before the work, not after it."""

from pathlib import Path

from fedtailor.protos.errors import ConfigError


def refuse_used(folder: Path) -> None:
    """Whether it is new or empty.

    Raises:
        ConfigError: it is not.
    """
    try:
        used = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise _unusable(folder, error) from None
    if used:
        raise ConfigError(f"{folder}: expected a new or empty folder; name another with --out")


def make(folder: Path) -> None:
    """Make it where it is missing.

    Raises:
        ConfigError: it cannot be made or written.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unusable(folder, error) from None


def _unusable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{folder}: expected a folder that can be written, got: {error.strerror}; name another with --out"
    )
