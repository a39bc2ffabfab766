"""What the registry keeps: one class a table. A noun is kept whole as its wire bytes, beside the columns people query.

Float columns that a device may fill with NaN are nullable: SQLite keeps NaN as NULL.
"""

from sqlalchemy import BigInteger, Double, ForeignKey, Integer, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 4


class Row(DeclarativeBase):
    type_annotation_map = {int: BigInteger, float: Double, bytes: LargeBinary, str: Text}  # noqa: RUF012


def _key() -> Mapped[int]:
    return mapped_column(Integer, primary_key=True)  # SQLite counts up only in an INTEGER


def _device() -> Mapped[str]:
    return mapped_column(ForeignKey("devices.device_id"), index=True)


class RunRow(Row):
    """The one run of this registry. `seconds` is what the process that ended it took, 0 until then."""

    __tablename__ = "run"
    key: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    schema_version: Mapped[int]
    name: Mapped[str]
    about: Mapped[str]
    machine: Mapped[str]
    job_json: Mapped[str]
    spec: Mapped[bytes]
    parameters: Mapped[int]
    seconds: Mapped[float]


class ArtifactRow(Row):
    """A file in `artifacts/`; `kind` is `base` or `variant`."""

    __tablename__ = "artifacts"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str]
    size_bytes: Mapped[int]


class DeviceEntry(Row):
    """A device that has joined; what it said of itself is in `profiles`. `held_version` is the public base it holds;
    None where that is not known.
    """

    __tablename__ = "devices"
    device_id: Mapped[str] = mapped_column(primary_key=True)
    device_class: Mapped[str]
    held_version: Mapped[int | None]


class ProfileRow(Row):
    """Every profile a device has sent, in order; `moved` names what of its data had moved, separated by commas."""

    __tablename__ = "profiles"
    key: Mapped[int] = _key()
    device_id: Mapped[str] = _device()
    round: Mapped[int]
    train_samples: Mapped[int]
    moved: Mapped[str]
    profile: Mapped[bytes]


class PlanRow(Row):
    """Every plan a device was given, in order."""

    __tablename__ = "plans"
    key: Mapped[int] = _key()
    device_id: Mapped[str] = _device()
    word: Mapped[str]
    plan: Mapped[bytes]


class RoundEntry(Row):
    """A round; round 0 is the initial base. `base_sha256` is the base it committed, None if it was abandoned."""

    __tablename__ = "rounds"
    round: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    base_version: Mapped[int]
    base_sha256: Mapped[str | None] = mapped_column(ForeignKey("artifacts.sha256"))
    asked: Mapped[int]
    answered: Mapped[int]
    base_validation_score: Mapped[float | None]
    train_loss: Mapped[float | None]
    uplink_bytes: Mapped[int]
    downlink_bytes: Mapped[int]
    seconds: Mapped[float]


class UpdateRow(Row):
    """An update that a committed round has merged: at most one per device, round and base."""

    __tablename__ = "updates"
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.device_id"), primary_key=True)
    round: Mapped[int] = mapped_column(ForeignKey("rounds.round"), primary_key=True)
    base_version: Mapped[int] = mapped_column(primary_key=True)
    num_examples: Mapped[int]
    base_validation_score: Mapped[float | None]
    train_loss: Mapped[float | None]
    train_cpu_s: Mapped[float | None]


class MaskRow(Row):
    """Every mask a device's updates have had, in order: by its hash, a bit a coordinate."""

    __tablename__ = "masks"
    key: Mapped[int] = _key()
    device_id: Mapped[str] = _device()
    name: Mapped[bytes]
    packed: Mapped[bytes]


class TrafficRow(Row):
    """Bytes on the wire between the server and one device in one stage of one round, and the `seconds`, by the run's
    clock, that it was waited for: until it replied, or until nobody waited any more.
    """

    __tablename__ = "traffic"
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.device_id"), primary_key=True)
    stage: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(Integer, primary_key=True)
    answered: Mapped[bool]
    uplink_bytes: Mapped[int]
    downlink_bytes: Mapped[int]
    seconds: Mapped[float | None]


class LadderRow(Row):
    """Every ladder a device has climbed, in order."""

    __tablename__ = "ladders"
    key: Mapped[int] = _key()
    device_id: Mapped[str] = _device()
    round: Mapped[int]
    base_version: Mapped[int]
    personal_method: Mapped[str]
    base_validation_score: Mapped[float | None]
    personal_validation_score: Mapped[float | None]
    tailor_cpu_s: Mapped[float | None]
    ladder: Mapped[bytes]


class RungRow(Row):
    """One rung with its measurements and its verdict; position 0 is the fp32 reference."""

    __tablename__ = "rungs"
    ladder: Mapped[int] = mapped_column(ForeignKey("ladders.key"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    recipe: Mapped[str]
    precision: Mapped[str]
    weight_bits: Mapped[float]
    validation_score: Mapped[float | None]
    payload_bytes: Mapped[int]
    file_bytes: Mapped[int]
    memory_bytes_measured: Mapped[int]
    latency_p50_us_measured: Mapped[float | None]
    latency_ms_modelled: Mapped[float | None]
    energy_mj_modelled: Mapped[float | None]
    energy_mj_measured: Mapped[float | None]
    latency_ratio: Mapped[float | None]
    verdict: Mapped[str]
    verdict_rows: Mapped[int]
    reference_only: Mapped[int]
    variant_only: Mapped[int]
    score_drop: Mapped[float | None]
    drop_bound: Mapped[float | None]
    unmet: Mapped[str]
    note: Mapped[str]


class CohortRow(Row):
    """A recipe's verdict pooled over all devices that tried it."""

    __tablename__ = "cohorts"
    recipe: Mapped[str] = mapped_column(primary_key=True)
    devices: Mapped[int]
    verdict: Mapped[str]
    score_drop: Mapped[float | None]
    drop_bound: Mapped[float | None]
    withdrawn: Mapped[bool]


class VariantRow(Row):
    """Every variant a device has deployed, in order; `parent` is the artefact of the one it replaced."""

    __tablename__ = "variants"
    key: Mapped[int] = _key()
    device_id: Mapped[str] = _device()
    base_version: Mapped[int]
    recipe: Mapped[str]
    verdict: Mapped[str]
    payload_sha256: Mapped[str] = mapped_column(ForeignKey("artifacts.sha256"))
    parent: Mapped[str | None]
    reason: Mapped[str]
    variant: Mapped[bytes]


class ScoreRow(Row):
    """Scores on the test split, once per device and base."""

    __tablename__ = "scores"
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.device_id"), primary_key=True)
    base_version: Mapped[int] = mapped_column(primary_key=True)
    metric: Mapped[str]
    test_rows: Mapped[int]
    base: Mapped[float | None]
    personal: Mapped[float | None]
    variant: Mapped[float | None]
    scores: Mapped[bytes]


class ProblemRow(Row):
    """What went wrong, one line each; `device_id` is None where no device is to be named."""

    __tablename__ = "problems"
    key: Mapped[int] = _key()
    stage: Mapped[str]
    round: Mapped[int]
    device_id: Mapped[str | None] = mapped_column(index=True)
    line: Mapped[str]
