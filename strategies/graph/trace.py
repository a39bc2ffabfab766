"""Any torch module as a `Net`, by symbolic tracing: its `forward` runs once, on stand-ins for tensors.

Source: Reed et al. 2022, arXiv:2112.08429 (torch.fx). Unlike torch's own proxies, these stand for tensors of known
shape, so a module may read and compute with shapes; what it may not do is decide by values.

To teach it a layer: one function and one row in `trace_modules.py` or `trace_functions.py`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import torch
from torch import fx, nn
from torch.fx.node import map_aggregate

from fedtailor.protos.errors import PlanError
from fedtailor.protos.model_spec import NEXT_TOKEN, ModelSpec
from fedtailor.protos.net import Net
from fedtailor.strategies.graph.shapes import layer_shapes
from fedtailor.strategies.graph.trace_builder import NetBuilder, Signal, Untraceable
from fedtailor.strategies.graph.trace_functions import FUNCTIONS
from fedtailor.strategies.graph.trace_modules import is_entered, module_handler

Handler = Callable[..., Any]

_VALUE = "value"  # in a node's meta: a Signal, a tuple of them, a constant, or _UNKNOWN
_UNKNOWN = object()  # the answer of what cannot be traced


def trace(module: nn.Module, spec: ModelSpec) -> Net:
    """The module in eval mode as a graph of layers, named by module path, with copies of its numbers.

    The module takes rows as a fleet file stores them, [N, *spec.input_shape], channels last; one that wants channels
    first goes behind `models.modules.ChannelsFirst`. Batch norms are folded where only they read what they read.

    Raises:
        PlanError: something in it cannot be written as layers: one line that names every such part by its path.
    """
    net = NetBuilder(tuple(spec.input_shape), tokens=spec.kind == NEXT_TOKEN)
    tracer = _Tracer(module, net)
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            graph = tracer.trace(_whole(module))
    finally:
        for part, training in modes.items():
            part.training = training
    return _checked(tracer.net_of(graph), spec)


def _checked(net: Net, spec: ModelSpec) -> Net:
    steps = net.input_shape if net.tokens else ()
    got, wanted = layer_shapes(net)[-1], (*steps, spec.outputs)
    if got != wanted:
        raise PlanError(f"the model answers {list(got)} for one sample, expected {list(wanted)} for {spec.kind}")
    return net


def _whole(module: nn.Module) -> Callable[[Any], Any]:
    """The module as a function of one tensor: it is called as its parts are, with its own defaults."""

    def call(x: Any) -> Any:
        return module(x)

    return call


class _Stand(fx.Proxy):
    """Stands for one tensor, or several, inside the module; where the shape is known it can be computed with."""

    tracer: "_Tracer"
    is_nested = is_cuda = requires_grad = False

    @property
    def value(self) -> Any:
        return self.node.meta.get(_VALUE, _UNKNOWN)

    @property
    def shape(self) -> Any:
        return torch.Size(self.value.shape) if isinstance(self.value, Signal) else self.__getattr__("shape")

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def dtype(self) -> Any:
        return self.tracer.net.dtype(self.value) if isinstance(self.value, Signal) else self.__getattr__("dtype")

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        return len(self.shape)

    def __iadd__(self, other: Any) -> Any:
        return self.add_(other)  # whoever holds this tensor sees the sum


class _Tracer(fx.Tracer):
    """Runs a module on stand-ins and adds to `net` what each step computes; `problems` are the steps that cannot be."""

    def __init__(self, model: nn.Module, net: NetBuilder) -> None:
        super().__init__()
        self.net = net
        self.problems: list[str] = []
        self._paths = {part: path for path, part in model.named_modules()}
        self._inside = [""]

    def net_of(self, graph: fx.Graph) -> Net:
        """The net of what was run.

        Raises:
            PlanError: it, or a step of it, cannot be traced.
        """
        answer = next(iter(graph.output_node().args))
        signal = answer.meta.get(_VALUE) if isinstance(answer, fx.Node) else None
        try:
            if isinstance(signal, Signal) and not self.problems:
                return self.net.finished(signal)
            if not self.problems:
                self._blame("", "the answer", "it must be one tensor, computed from the input")
        except Untraceable as reason:
            self._blame("", "the answer", reason)
        parts = "; ".join(dict.fromkeys(self.problems))
        raise PlanError(f"this model can only be exported whole, not tailored layer by layer; not traced: {parts}")

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Stand(node, self)

    def call_module(self, m: nn.Module, forward: Handler, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not any(isinstance(each, fx.Proxy) for each in (*args, *kwargs.values())):
            return forward(*args, **kwargs)  # its answer does not depend on the input
        path = self._paths.get(m, type(m).__name__)
        handler = module_handler(m)
        if handler is None and (is_entered(m) or not self.is_leaf_module(m, path)):
            return self._entered(m, path, lambda: forward(*args, **kwargs))
        stand = super().create_proxy("call_module", "model", (), {})
        step = _Step(path or "model", type(m).__name__, handler, (m, *args), kwargs)
        return self._taken(step, stand, args[0] if getattr(m, "inplace", False) else None)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *_: Any, **__: Any) -> Any:
        stand = super().create_proxy(kind, target, (), {})
        if kind == "placeholder":
            stand.node.meta[_VALUE] = self.net.signal(0)
            return stand
        called = target if isinstance(target, str) else target.__name__
        function = called.strip("_")
        step = _Step(f"{self._inside[-1]}.{function}".lstrip("."), function, FUNCTIONS.get(function), args, kwargs)
        in_place = kwargs.get("inplace") or (called.endswith("_") and not called.startswith("_"))
        return self._taken(step, stand, args[0] if in_place else None)

    def iter(self, obj: fx.Proxy) -> Iterator[fx.Proxy]:
        if isinstance(obj, _Stand) and isinstance(obj.value, tuple):
            return (obj[at] for at in range(len(obj.value)))  # type: ignore[index] # fx adds the operators later
        return super().iter(obj)

    def _entered(self, m: nn.Module, path: str, forward: Callable[[], Any]) -> Any:
        self._inside.append(path)
        try:
            return forward()
        except Exception as error:  # a forward may raise anything where it meets a stand-in instead of a tensor
            self._blame(path, type(m).__name__, error)
            return super().create_proxy("call_module", "model", (), {})
        finally:
            self._inside.pop()

    def _taken(self, step: "_Step", stand: fx.Proxy, overwritten: Any) -> fx.Proxy:
        """Add what the step computes to the net, for `stand` to stand for, or for the stand-in that it changes."""
        try:
            answer = step.answer(self.net)
        except (Untraceable, PlanError) as reason:
            self._blame(step.name, step.kind, reason)
            answer = _UNKNOWN
        if not isinstance(overwritten, _Stand):
            stand.node.meta[_VALUE] = answer
            return stand
        before = overwritten.value
        if isinstance(before, Signal) and isinstance(answer, Signal) and before.value != answer.value:
            self.net.overwritten.add(before.value)
        overwritten.node.meta[_VALUE] = answer
        return overwritten

    def _blame(self, path: str, kind: str, reason: Exception | str) -> None:
        lines = str(reason).splitlines()
        self.problems.append(f"{path or 'the model'!r} ({kind}{': ' + lines[0] if lines else ''})")


@dataclass(frozen=True, slots=True)
class _Step:
    """A call of a module or function on stand-ins, and the function that writes it as layers, if there is one."""

    name: str
    kind: str
    handler: Handler | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def answer(self, net: NetBuilder) -> Any:
        """What it computes; unknown where it reads what is not known.

        Raises:
            Untraceable: it cannot be written as layers.
            PlanError: its layers do not fit what they read.
        """
        if self.handler is None:
            raise Untraceable
        args, kwargs = _values(self.args), _values(self.kwargs)
        read = list(_leaves((args, *kwargs.values())))
        if any(each is _UNKNOWN for each in read):
            return _UNKNOWN
        if any(isinstance(each, Signal) and each.value in net.overwritten for each in read):
            raise Untraceable("it reads a tensor that another view of it has changed in place")
        net.step = self.name
        return _called(self.handler, net, args, kwargs)


def _called(handler: Handler, net: NetBuilder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a handler with what torch was called with; it may take by name what torch takes by position.

    Raises:
        Untraceable: the handler has no such option.
    """
    wanted = signature(handler)
    kinds = [each.kind for each in wanted.parameters.values()]
    if Parameter.VAR_POSITIONAL not in kinds:
        names = [name for name, kind in zip(wanted.parameters, kinds, strict=True) if kind != Parameter.VAR_KEYWORD]
        kwargs = dict(zip(names[1:], args, strict=False)) | kwargs
        args = args[len(names) - 1 :]
    try:
        wanted.bind(net, *args, **kwargs)
    except TypeError as error:
        raise Untraceable(f"{error} in a layer of a net") from error
    return handler(net, *args, **kwargs)


def _values(args: Any) -> Any:
    """The arguments with what the stand-ins among them stand for."""
    return map_aggregate(
        args, lambda each: each.node.meta.get(_VALUE, _UNKNOWN) if isinstance(each, fx.Proxy) else each
    )


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, tuple | list):
        for each in tree:
            yield from _leaves(each)
    else:
        yield tree
