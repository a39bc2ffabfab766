"""What a device is: its hardware, and what a micro-benchmark measured on it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Measured single-thread throughput; depthwise and pointwise stand beside GEMM because a GEMM roofline
    mispredicts depthwise nets."""

    gemm_m1_fp32_gflops: float
    gemm_m1_int8_gops: float
    gemm_m256_fp32_gflops: float
    gemm_m256_int8_gops: float
    depthwise_fp32_gflops: float
    pointwise_fp32_gflops: float
    copy_l2_gb_s: float
    copy_l3_gb_s: float
    copy_dram_gb_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """One device's hardware.

    `slowdown_modelled` is 1 where the benchmark was measured on the device itself; a simulated device of a slower
    class carries its catalogue factor here, and every latency derived with it is named modelled.
    """

    device_id: str
    device_class: str
    machine: str
    cores: int
    isa: tuple[str, ...]
    ram_bytes: int
    storage_free_bytes: int
    battery_fraction: float | None
    providers: tuple[str, ...]
    benchmark: Benchmark
    slowdown_modelled: float = 1.0
    energy_pj_per_mac_modelled: float | None = None
