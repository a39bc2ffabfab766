"""The part of a model that is shared, and the tensors that never leave the device."""

from collections.abc import Sequence

from fedtailor.protos.errors import PlanError
from fedtailor.protos.schema import State


def shared_part(state: State, local_parameters: Sequence[str]) -> State:
    """The tensors that are sent, in the state's order; arrays are the same objects.

    Raises:
        PlanError: a name in `local_parameters` is not a parameter of this model, or nothing is left to share.
    """
    unknown = sorted(set(local_parameters) - set(state))
    if unknown:
        raise PlanError(
            f"local_parameters: the model has no {', '.join(map(repr, unknown))}; it has {', '.join(state)}"
        )
    shared = {name: values for name, values in state.items() if name not in local_parameters}
    if state and not shared:
        raise PlanError("local_parameters: every parameter of the model is named, nothing is left to share")
    return shared


def whole(shared: State, own: State) -> State:
    """The inverse: the shared tensors, and from `own` those that stay, in the order of `own`."""
    return {name: shared.get(name, values) for name, values in own.items()}
