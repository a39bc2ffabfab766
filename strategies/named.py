"""What a job asks for by name, version and parameters, and one way to find it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from fedtailor.protos.errors import PlanError

Made = TypeVar("Made")


class Spec(Protocol):
    """What is asked for."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def args(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, kw_only=True)  # with slots, Python 3.11 cannot call `Named[Made]` as a constructor
class Named(Generic[Made]):
    """What is known: `make` gets a value for each of the `defaults`, or raises ValueError with one clear line."""

    name: str
    version: int
    defaults: Mapping[str, float]
    make: Callable[[Mapping[str, float]], Made]


def made(kind: str, spec: Spec, known: Mapping[str, Named[Made]]) -> Made:
    """What `spec` asks for among the `known` of a kind, such as "optimizer".

    Raises:
        PlanError: an unknown name, version or parameter, or a parameter out of range; the line names what is known.
    """
    named = known.get(spec.name)
    if named is None or named.version != spec.version:
        names = ", ".join(f"{each.name} {each.version}" for each in known.values())
        raise PlanError(f"{kind} {spec.name} {spec.version} is not known here; known: {names}; update the older side")
    unknown = sorted(set(spec.args) - set(named.defaults))
    if unknown:
        takes = ", ".join(named.defaults) or "none"
        raise PlanError(f"{kind} {spec.name} {spec.version}: unknown parameter {', '.join(unknown)}; it takes {takes}")
    try:
        return named.make({**named.defaults, **spec.args})
    except ValueError as error:
        raise PlanError(f"{kind} {spec.name} {spec.version}: {error}") from error
