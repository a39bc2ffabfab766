"""What server and device say to each other, each one record of a Flower message."""

from dataclasses import dataclass

from fedtailor.protos.budget import Budget
from fedtailor.protos.data_profile import DataProfile
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.protos.plan import CodecSpec, Plan
from fedtailor.protos.variant import Ladder, Variant

FORMAT_VERSION = 1
RECORD = "fedtailor"  # the one ConfigRecord of a message, which holds a noun's bytes under its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Answer to `query.profile`."""

    hardware: DeviceProfile
    data: DataProfile
    budget: Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The public base: float32 little-endian values in schema order."""

    base_version: int
    base_hash: str
    schema_hash: str
    values: bytes
    crc32: int
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """Server to device, for `train`, `train.tailor` and `evaluate`.

    `acknowledged_round` is the last round whose update of this device the server has committed (0: none); the device
    settles its error-feedback residual by it. `withdrawn` names recipes that the fleet's evidence speaks against.
    """

    plan: Plan
    base: Snapshot
    acknowledged_round: int
    withdrawn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One device's compressed latent delta: the envelope. What the codec says is in `scales` (float32) and `payload`.

    `schema_hash` is the first 8 bytes of the schema's SHA-256, `mask_hash` of the mask's; empty without a mask.
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
    format_version: int = FORMAT_VERSION


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
