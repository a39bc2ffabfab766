"""Error feedback in two phases: what an upload could not say is kept, and nothing is lost or counted twice.

A round: s = `ahead`(base, residual); u = train(s) − s; total = `carry`(u, residual) is encoded; then `await_fate`.

Sources: Karimireddy et al. 2019, arXiv:1901.09847, algorithm 2; Xu et al. 2021, arXiv:2008.05823, algorithm 1 (a step
ahead by the residual). The second phase (settling only once the server has acknowledged) is ours, for uploads that get
lost.
"""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Floats, Schema, State
from fedtailor.strategies.codec.masking import by_tensor
from fedtailor.strategies.merge.sparse import Kept


@dataclass(frozen=True, eq=False)
class Pending:
    """One upload whose fate is not known: the residual it carried, and those that follow if it was merged or lost.

    kept: the mask it was sent with [schema.size], None without one.
    """

    round: int
    carried: tuple[Floats, ...]
    if_merged: tuple[Floats, ...]
    if_lost: tuple[Floats, ...]
    kept: Kept | None = None


def ahead(base: State, residual: Sequence[Floats], step_ahead: float) -> State:
    """Where to train from: the base and a share (0 to 1) of the residual, which the server will add sooner or later.

    base: the shared tensors, in the order of `residual`. 0 is the base itself.
    """
    share = np.float32(step_ahead)
    return {name: values + share * rest for (name, values), rest in zip(base.items(), residual, strict=True)}


def masked(tensors: Sequence[Floats], kept: Kept | None) -> tuple[Floats, ...]:
    """A delta or residual with zeros outside a mask [schema.size], so that a change of mask forgets what is dropped.

    None keeps everything.
    """
    if kept is None:
        return tuple(tensors)
    parts = by_tensor(kept, (each.shape for each in tensors))
    return tuple(np.where(part, each, np.float32(0)) for each, part in zip(tensors, parts, strict=True))


def carry(delta: Sequence[Floats], residual: Sequence[Floats]) -> list[Floats]:
    """What to encode this round: the new delta and what earlier rounds could not say."""
    return [(new + old).astype(np.float32) for new, old in zip(delta, residual, strict=True)]


def await_fate(
    round_: int,
    carried: Sequence[Floats],
    total: Sequence[Floats],
    decoded: Sequence[Floats],
    *,
    kept: Kept | None = None,
) -> Pending:
    """The state after `total` was encoded and the server will decode `decoded` from it, both within the mask `kept`."""
    rest = tuple((said - heard).astype(np.float32) for said, heard in zip(total, decoded, strict=True))
    return Pending(round_, tuple(carried), rest, tuple(total), kept)


def settle(pending: Pending | None, round_: int, acknowledged_round: int, schema: Schema) -> tuple[Floats, ...]:
    """The residual to carry into `round_`; zeros where nothing is pending, or what is belongs to another job: its model
    has other shapes, or its round is still to come (within one job rounds only rise).

    Asked for the pending round once more (a message came twice, a process died), the device starts it over.
    """
    shapes = tuple(each.shape for each in pending.if_lost) if pending else None
    if pending is None or shapes != schema.shapes or pending.round > round_:
        return tuple(np.zeros(shape, np.float32) for shape in schema.shapes)
    if pending.round == round_:
        return pending.carried
    return pending.if_merged if pending.round == acknowledged_round else pending.if_lost


def acknowledged_mask(pending: Pending | None, acknowledged_round: int) -> Kept | None:
    """The mask that the server is sure to know: the last upload's, if just that upload was merged."""
    return pending.kept if pending and pending.round == acknowledged_round else None


def pending_to_bytes(pending: Pending) -> bytes:
    """For the device's store."""
    parts = {"carried": pending.carried, "merged": pending.if_merged, "lost": pending.if_lost}
    arrays: dict[str, NDArray[Any]] = {
        f"{name}{i}": each for name, tensors in parts.items() for i, each in enumerate(tensors)
    }
    if pending.kept is not None:
        arrays["kept"] = pending.kept
    buffer = io.BytesIO()
    np.savez(buffer, round=np.int64(pending.round), **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def pending_from_bytes(data: bytes) -> Pending:
    """The inverse.

    Raises:
        DecodeError: the bytes are not a pending state.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            count = (len(file.files) - 1) // 3
            carried, merged, lost = (
                tuple(file[f"{name}{i}"] for i in range(count)) for name in ("carried", "merged", "lost")
            )
            kept = file.get("kept")
            return Pending(int(file["round"]), carried, merged, lost, kept)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DecodeError(f"the residual of this device cannot be read ({error}); it starts again from zero") from error
