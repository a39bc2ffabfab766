"""One device's optimised variant: the manifest, and the ladder it was chosen from."""

from dataclasses import dataclass

from fedtailor.protos.efficiency import Efficiency
from fedtailor.protos.mask import Mask
from fedtailor.protos.verdict import Verdict

FALLBACK = "fp32"  # the recipe name of the personal model itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One recipe tried on one device. `note` says why a rung cannot be deployed; empty if it can.

    `doubt` says why another rung is to be preferred, empty if it may be the first choice.

    `weight_bits` is the mean over weights of the width they are written in, before entropy coding.
    """

    recipe: str
    precision: str
    weight_bits: float
    mask: Mask
    validation_score: float
    verdict: Verdict
    efficiency: Efficiency
    latency_ratio: float
    payload_sha256: str
    unmet: tuple[str, ...]
    note: str = ""
    doubt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """All rungs of one device, mild to extreme, beside the fp32 reference they are judged against.

    `latency_ratio` of a rung is reference over rung, both measured alternating: above 1 is faster.
    """

    device_id: str
    round: int
    base_version: int
    base_hash: str
    personal_method: str
    base_validation_score: float
    personal_validation_score: float
    reference: Rung
    rungs: tuple[Rung, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What a device runs, kept for ever: content is named by hash, `parent` is the variant it replaced."""

    device_id: str
    base_version: int
    base_hash: str
    personal_method: str
    rung: Rung
    artifact_sha256: str
    parent: str | None
    reason: str
