"""Error feedback in two phases: what an upload could not say is kept, and nothing is lost or counted twice.

Source: Karimireddy et al. 2019, arXiv:1901.09847, algorithm 2; the second phase (settling only once the server has
acknowledged) is ours, for uploads that get lost.
"""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.schema import Floats, Schema


@dataclass(frozen=True, eq=False)
class Pending:
    """One upload whose fate is not known: the residual it carried, and those that follow if it was merged or lost."""

    round: int
    carried: tuple[Floats, ...]
    if_merged: tuple[Floats, ...]
    if_lost: tuple[Floats, ...]


def carry(delta: Sequence[Floats], residual: Sequence[Floats]) -> list[Floats]:
    """What to encode this round: the new delta and what earlier rounds could not say."""
    return [(new + old).astype(np.float32) for new, old in zip(delta, residual, strict=True)]


def await_fate(round_: int, carried: Sequence[Floats], total: Sequence[Floats], decoded: Sequence[Floats]) -> Pending:
    """The state after `total` was encoded and the server will decode `decoded` from it."""
    rest = tuple((said - heard).astype(np.float32) for said, heard in zip(total, decoded, strict=True))
    return Pending(round_, tuple(carried), rest, tuple(total))


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


def pending_to_bytes(pending: Pending) -> bytes:
    """For the device's store."""
    parts = {"carried": pending.carried, "merged": pending.if_merged, "lost": pending.if_lost}
    arrays = {f"{name}{i}": each for name, tensors in parts.items() for i, each in enumerate(tensors)}
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
            return Pending(int(file["round"]), carried, merged, lost)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DecodeError(f"the residual of this device cannot be read ({error}); it starts again from zero") from error
