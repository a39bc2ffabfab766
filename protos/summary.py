"""One run in figures: what tables, pages and programs show."""

from dataclasses import dataclass, field

from fedtailor.protos.budget import Budget
from fedtailor.protos.certificate import Certificates
from fedtailor.protos.data_profile import DataProfile, Drift
from fedtailor.protos.device_profile import DeviceProfile
from fedtailor.protos.messages import Scores
from fedtailor.protos.plan import GatePlan
from fedtailor.protos.variant import Ladder, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRow:
    """One committed or abandoned round; in buffered training, one commit. Bytes are counted on the wire, over all
    devices asked. `seconds` are those of the run's clock, which is virtual where devices are simulated in process.
    """

    round: int
    base_version: int
    committed: bool
    asked: int
    answered: int
    base_validation_score: float | None
    train_loss: float | None
    uplink_bytes: int
    downlink_bytes: int
    seconds: float
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRow:
    """A device's data was found to have moved before a round; `parts` names what beyond chance."""

    round: int
    parts: tuple[str, ...]
    drift: Drift


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    """One device at the end of a run. What is None did not happen; `problems` says why, a line each."""

    hardware: DeviceProfile
    data: DataProfile
    budget: Budget
    plan: str
    scores: Scores | None
    ladder: Ladder | None
    variant: Variant | None
    rounds_answered: int
    uplink_bytes: int
    downlink_bytes: int
    problems: tuple[str, ...] = ()
    drifts: tuple[DriftRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One run. `base_fp32_bytes` is four bytes a parameter; ratios are against it, or against each device's fp32."""

    name: str
    about: str
    kind: str
    metric: str
    better: str
    model: str
    codec: str
    base_fp32_bytes: int
    seed: int
    machine: str
    rounds: tuple[RoundRow, ...]
    devices: tuple[DeviceRow, ...]
    gate: GatePlan
    withdrawn: tuple[str, ...]
    seconds: float
    certificates: Certificates = field(default_factory=Certificates)
