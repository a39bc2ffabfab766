"""What the server keeps of a committed round, so that a run can go on from it."""

from dataclasses import dataclass

from fedtailor.protos.messages import Hop


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The base of one version: int32 steps of what is public and float32 values of what is private, little endian.

    hop: the broadcast that led to it; None for the first base. difference: the same step, whole, as `exact` writes it.
    moments: what the optimizer remembers, float32 values of the shared parameters; what it computes in float64 is
    rounded after every round, so that a run that goes on from here is the unbroken one bit for bit.
    """

    base_version: int
    base_hash: str
    public_steps: bytes
    private_values: bytes
    hop: Hop | None
    difference: bytes
    moments: tuple[bytes, ...] = ()
