"""Errors a caller can act on; wrong arguments are plain ValueError.

FedTailorError
├── ConfigError      a fleet or job file asks for something that cannot be
├── DataError        a fleet file, or the rows of a device, cannot be used
├── PlanError        a plan, model or recipe cannot be carried out
├── DecodeError      bytes from a peer are not what they claim to be
├── StoreError       the device's own store cannot be read or written
├── RegistryError    the server's registry cannot be read or written
├── RoundError       a round cannot be completed (too few devices answered)
└── MissingExtra     an optional dependency is not installed
"""


class FedTailorError(Exception):
    """The root: its message is one line that says what was expected, what came, from whom and what to do."""


class ConfigError(FedTailorError):
    """A fleet or job file asks for something that cannot be."""


class DataError(FedTailorError):
    """A fleet file, or the rows of a device, cannot be used."""


class PlanError(FedTailorError):
    """A plan, model or recipe cannot be carried out."""


class DecodeError(FedTailorError):
    """Bytes from a peer are not what they claim to be."""


class StoreError(FedTailorError):
    """The device's own store cannot be read or written."""


class RegistryError(FedTailorError):
    """The server's registry cannot be read or written."""


class RoundError(FedTailorError):
    """A round cannot be completed."""


class MissingExtra(FedTailorError):  # noqa: N818 - the name says the cause, as its siblings' do
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}; install it with: pip install 'fedtailor[{extra}]'")
