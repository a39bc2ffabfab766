"""What server and device say to each other, each one record of a Flower message."""

from dataclasses import dataclass

from fedtailor.protos.budget import Budget
from fedtailor.protos.data_profile import DataProfile
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.protos.plan import CodecSpec, Plan
from fedtailor.protos.variant import Ladder, Variant

FORMAT_VERSION = 1
UPDATE_VERSION = 2
RECORD = "fedtailor"  # the one ConfigRecord of a message, which holds a noun's bytes under its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Answer to `query.profile`. `tags` are what its operator calls it by: jobs may ask devices by tag."""

    hardware: DeviceProfile
    data: DataProfile
    budget: Budget
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """From one public base to another, which is `version`.

    exact: the payload holds the whole difference; else it is what the plan's downlink codec made of it, in the context
    of the base it starts from. marks: the new base is one that later contexts look back to.
    """

    version: int
    marks: bool
    exact: bool
    scales: tuple[float, ...]
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """How a device comes to the public base: hops from the one it holds, or from zeros where `held_version` is None.

    `base_hash` is the first 16 hex digits of the base's hash, `schema_hash` the first 4 bytes of the schema's.
    """

    base_version: int
    base_hash: str
    schema_hash: bytes
    held_version: int | None
    hops: tuple[Hop, ...]
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """Server to device, for `train`, `train.tailor` and `evaluate`.

    `acknowledged_round` is the last round whose update of this device the server has committed (0: none); the device
    settles its error-feedback residual by it. `withdrawn` names recipes that the fleet's evidence speaks against.
    """

    plan: Plan
    base: Broadcast
    acknowledged_round: int
    withdrawn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One device's compressed latent delta: the envelope. What the codec says is in `scales` (float32) and `payload`.

    `codec` leaves out parameters that are the codec's defaults. `schema_hash` is the first 4 bytes of the SHA-256 of
    the schema of what is shared, `mask_hash` the first 8 of that of the mask, empty without one. `mask` is how the mask
    comes from one that the server has, empty where it has this very one. `context_version` is the earlier base that
    its context looks back to.
    """

    device_id: str
    codec: CodecSpec
    schema_hash: bytes
    base_version: int
    mask_hash: bytes
    round: int
    num_examples: int
    scales: tuple[float, ...]
    payload: bytes
    crc32: int
    format_version: int = UPDATE_VERSION
    context_version: int = 0
    mask: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReply:
    """Answer to `train`. Without validation rows the score is 0 and means nothing."""

    update: Update
    base_validation_score: float
    validation_rows: int
    train_loss: float
    train_cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TailorReply:
    """Answer to `train.tailor`: what was tried; the artefacts stay on the device until one is chosen."""

    ladder: Ladder
    tailor_cpu_s: float
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The test split, touched once. `better` is `higher` or `lower`; without rows the scores are 0 and mean nothing."""

    metric: str
    better: str
    rows: int
    base: float
    personal: float
    variant: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateReply:
    """Answer to `evaluate`: the variant now deployed, its payload, and the test scores.

    `variant` is None on a device that only judges the base (never trained on, no ladder).
    """

    scores: Scores
    variant: Variant | None
    payload: bytes
