"""What one variant, and one round, may cost on one device."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Upper limits, all inclusive; None is no limit. `accuracy_margin` is the gate's here; None leaves the job's.

    `peak_ram_bytes` is of a variant that runs, `train_ram_bytes` of a training step beside the process itself.
    """

    latency_ms: float | None = None
    size_bytes: int | None = None
    peak_ram_bytes: int | None = None
    energy_mj: float | None = None
    uplink_bytes: int | None = None
    accuracy_margin: float | None = None
    train_ram_bytes: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise ValueError(f"Budget.{field.name} must be above 0, got {value!r}")
