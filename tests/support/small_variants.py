"""A made-up device, what an artefact costs on it, and a ladder; a test replaces the figures it is about."""

from fedtailor.protos.device_profile import Benchmark, DeviceProfile
from fedtailor.protos.efficiency import Efficiency
from fedtailor.protos.mask import Mask
from fedtailor.protos.plan import GatePlan
from fedtailor.protos.variant import FALLBACK, Ladder, Rung
from fedtailor.strategies.gate import itself

HARDWARE = DeviceProfile(
    device_id="till-1",
    device_class="this machine",
    machine="test",
    cores=1,
    isa=(),
    ram_bytes=2**30,
    storage_free_bytes=2**30,
    battery_fraction=None,
    providers=("CPUExecutionProvider",),
    benchmark=Benchmark(**dict.fromkeys(Benchmark.__dataclass_fields__, 1.0)),
)
EFFICIENCY = Efficiency(
    payload_bytes=1000,
    file_bytes=2000,
    macs=1,
    latency_p50_us_measured=1500.0,
    latency_p99_us_measured=1.0,
    cpu_p50_us_measured=1.0,
    load_ms_measured=1.0,
    memory_bytes_measured=300,
)
REFERENCE = Rung(
    recipe=FALLBACK,
    precision="fp32",
    weight_bits=32,
    mask=Mask(),
    validation_score=0.9,
    verdict=itself(100, GatePlan()),
    efficiency=EFFICIENCY,
    latency_ratio=1.0,
    payload_sha256="",
    unmet=(),
)


def ladder(*rungs: Rung) -> Ladder:
    """These rungs beside the fp32 reference."""
    return Ladder(
        device_id="till-1",
        round=1,
        base_version=1,
        base_hash="",
        personal_method="shared",
        base_validation_score=0.9,
        personal_validation_score=0.9,
        reference=REFERENCE,
        rungs=rungs,
    )
