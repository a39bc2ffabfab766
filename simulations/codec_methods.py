"""The methods that the bench of codecs compares, as data: how an update is written, and what a device remembers."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedtailor.protos.errors import ConfigError
from fedtailor.protos.plan import CodecSpec
from fedtailor.simulations.codec_rows import FP32, OURS
from fedtailor.strategies.codec.profile import Uplink

AHEAD = 0.5
RAW = CodecSpec(name="fp32", version=1)
COARSE = CodecSpec(name="deadzone", version=1, args={"step": 3})


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How updates are written, None: as the adaptive profile says for the course; and how the base's own steps are."""

    name: str
    uplink: Uplink | None
    downlink: CodecSpec = RAW


def _stateless(name: str, codec: CodecSpec) -> Method:
    return Method(name=name, uplink=Uplink(codec=codec, feedback=False, step_ahead=0.0))


def _stateful(name: str, codec: CodecSpec, step_ahead: float = 0.0) -> Method:
    return Method(name=name, uplink=Uplink(codec=codec, feedback=True, step_ahead=step_ahead))


def _with_and_without_ahead(name: str, codec: CodecSpec) -> tuple[Method, Method]:
    return _stateful(name, codec), _stateful(f"{name}-ahead", codec, AHEAD)


def _spec(name: str, **args: float) -> CodecSpec:
    return CodecSpec(name=name, version=1, args=args)


METHODS = {
    method.name: method
    for method in (
        _stateless(FP32, RAW),
        _stateless("fp16", _spec("fp16")),
        _stateless("int8", _spec("uniform", bits=8, stochastic=1)),
        *_with_and_without_ahead("int4-ef", _spec("uniform", bits=4, stochastic=0)),
        *_with_and_without_ahead("topk-ef", _spec("topk", share=0.01, levels=16)),
        *_with_and_without_ahead("stc", _spec("stc", share=0.01)),
        _stateless("rotate1", _spec("rotate")),
        *_with_and_without_ahead("ternary", _spec("ternary", tau=0.65)),
        Method(name=OURS, uplink=None),
        Method(name=f"{OURS}-downlink", uplink=None, downlink=COARSE),
    )
}


def methods_named(names: Sequence[str]) -> tuple[Method, ...]:
    """The methods of these names, in this order, with fp32 before them; all where none is named.

    Raises:
        ConfigError: nobody knows one of them.
    """
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise ConfigError(f"methods: expected some of {', '.join(METHODS)}, got {unknown[0]!r}")
    return tuple(METHODS[name] for name in dict.fromkeys((FP32, *(names or METHODS))))
