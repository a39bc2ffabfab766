"""Which part of the model a device trains: as much as its memory takes, by the job's way of treating weak devices."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache, lru_cache

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.net import Net
from fedtailor.protos.plan import Footprint, Submodel
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.model import build, model_named
from fedtailor.strategies.submodel.depth import depth_part
from fedtailor.strategies.submodel.part import Part
from fedtailor.strategies.submodel.width import width_part
from fedtailor.strategies.train_memory import footprint_within, tail_step_bytes

DEPTH, WIDTH, LEAVE_OUT = "depth", "width", "leave-out"
SHARES = (0.75, 0.5, 0.375, 0.25, 0.125)  # of the channels, widest first
_MOMENTS = 1  # of SGD with momentum


@lru_cache(maxsize=16)  # a window of channels is another part every round
def part_of(spec: ModelSpec, submodel: Submodel | None) -> Part | None:
    """What a plan's device trains; None for the whole of a model without exits, which needs no taking apart.

    Raises:
        PlanError: the model has no such part, or the device is to train nothing.
    """
    if submodel is None:
        return depth_part(spec, None) if spec.exits else None
    if submodel.kind == DEPTH:
        return depth_part(spec, submodel.exit)
    if submodel.kind == WIDTH:
        return width_part(spec, submodel.share, submodel.offset)
    raise PlanError(f"a device whose submodel is {submodel.kind!r} trains nothing here; known: {DEPTH}, {WIDTH}")


@cache  # devices of one class ask the same
def fitting(spec: ModelSpec, rows: int, ram_bytes: int, weak: str | None) -> tuple[Footprint, Submodel | None]:
    """How a device trains `rows` at a time within its memory: the whole model, the largest submodel of kind `weak` that
    fits, or nothing, and then why.

    Raises:
        PlanError: the whole model does not fit, and `weak` is None.
    """
    try:
        return footprint_within(_whole(spec), rows, ram_bytes, moments=_MOMENTS), None
    except PlanError as error:
        if weak is None:
            raise
        note = f"left out of training: {error}"
    smallest = f"; model {spec.name!r} has no exit to stop at" if weak == DEPTH else ""
    for submodel in _largest_first(spec, weak):
        try:
            return _footprint(spec, submodel, rows, ram_bytes), submodel
        except PlanError as error:
            smallest = f"; its smallest submodel by {weak}: {error}"
    return Footprint(), Submodel(kind=LEAVE_OUT, note=note + smallest)


def exits_needed(spec: ModelSpec, limits: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """The exits at which devices stop that the whole model is too much for, in the model's order.

    limits: of each device, how many rows it trains at a time, and its `train_ram_bytes`. Each stops as late as it can.
    """
    known = tuple(model_named(spec.name, spec.version).exits(spec))
    needed = {_latest_exit(spec, known, rows, ram_bytes) for rows, ram_bytes in set(limits)}
    return tuple(name for name in known if name in needed)


def head_within(spec: ModelSpec, rows: int, ram_bytes: int, footprint: Footprint) -> Footprint | None:
    """How a device trains the model's head alone on what the frozen rest gives: by `footprint`, or row by row.

    None where neither fits.
    """
    net = _whole(replace(spec, exits=()))
    heads = model_named(spec.name, spec.version).head
    first = next((at for at, layer in enumerate(net.layers) if layer.name.split(".")[0] in heads), None)
    if first is None:
        return None
    for each in (footprint, replace(footprint, micro_batch=1)):
        if tail_step_bytes(net, rows, each, first=first, moments=_MOMENTS) <= ram_bytes:
            return each
    return None


def trains(submodel: Submodel | None) -> bool:
    """Whether a device with this part of the model takes part in training."""
    return submodel is None or submodel.kind != LEAVE_OUT


def rolled(submodel: Submodel | None, round_: int) -> Submodel | None:
    """The submodel in a round: a window of channels moves on."""
    return replace(submodel, offset=round_) if submodel and submodel.kind == WIDTH else submodel


def _latest_exit(spec: ModelSpec, known: tuple[str, ...], rows: int, ram_bytes: int) -> str | None:
    """None where the whole model fits, or nothing does."""
    _, submodel = fitting(replace(spec, exits=()), rows, ram_bytes, LEAVE_OUT)
    for name in reversed(known) if submodel else ():
        try:
            _footprint(replace(spec, exits=(name,)), Submodel(kind=DEPTH, exit=name), rows, ram_bytes)
        except PlanError:
            continue
        return name
    return None


def _largest_first(spec: ModelSpec, weak: str) -> Iterator[Submodel]:
    if weak == DEPTH:
        yield from (Submodel(kind=DEPTH, exit=name) for name in reversed(spec.exits))
    if weak == WIDTH:
        yield from (Submodel(kind=WIDTH, share=share) for share in SHARES)


def _footprint(spec: ModelSpec, submodel: Submodel | None, rows: int, ram_bytes: int) -> Footprint:
    part = part_of(spec, submodel)
    net = _whole(spec) if part is None else part.layout
    return footprint_within(net, rows, ram_bytes, moments=_MOMENTS)


def _whole(spec: ModelSpec) -> Net:
    """What is trained of the whole model, exits included."""
    part = part_of(spec, None)
    return trace(build(spec), spec) if part is None else part.layout
