"""The methods that the bench of codecs compares, as data: each a way to write updates and the base's own steps."""

from collections.abc import Sequence

from fedtailor.protos.plan import CodecSpec
from fedtailor.simulations.codec_rows import FP32, OURS
from fedtailor.simulations.federation import RAW, Wire
from fedtailor.simulations.named import named
from fedtailor.strategies.codec.profile import Uplink

AHEAD = 0.5
COARSE = CodecSpec(name="deadzone", version=1, args={"step": 3})


def _stateless(name: str, codec: CodecSpec) -> Wire:
    return Wire(name=name, uplink=Uplink(codec=codec, feedback=False, step_ahead=0.0))


def _stateful(name: str, codec: CodecSpec, step_ahead: float = 0.0) -> Wire:
    return Wire(name=name, uplink=Uplink(codec=codec, feedback=True, step_ahead=step_ahead))


def _with_and_without_ahead(name: str, codec: CodecSpec) -> tuple[Wire, Wire]:
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
        Wire(name=OURS, uplink=None),
        Wire(name=f"{OURS}-downlink", uplink=None, downlink=COARSE),
    )
}


def methods_named(names: Sequence[str]) -> tuple[Wire, ...]:
    """The methods of these names, as `named`, and fp32, which all are held against.

    Raises:
        ConfigError: nobody knows one of them.
    """
    return named("methods", [*names, FP32] if any(names) else (), METHODS)
