"""Made-up devices with ladders and variants that look like real ones."""

import math

from fedtailor.protos.device_profile import Benchmark, DeviceProfile
from fedtailor.protos.efficiency import Efficiency
from fedtailor.protos.mask import KeptChannels, Mask
from fedtailor.protos.variant import FALLBACK, Ladder, Rung, Variant
from fedtailor.protos.verdict import NOT_SHOWN_WORSE, PROVEN, REJECTED, Verdict

FP32_BYTES = 118_556
# name, keep fraction, precision, payload, file, macs, p50 µs, expected loss in rows of 400
RECIPES = (
    ("int8", 1.0, "int8", 30_266, 36_900, 1_480_000, 62.0, 0),
    ("w75-int8", 0.75, "int8", 17_410, 23_800, 842_000, 47.0, 0),
    ("w75-fp32", 0.75, "fp32", 67_300, 69_100, 842_000, 71.0, 0),
    ("w50-int8", 0.5, "int8", 8_250, 14_300, 378_000, 36.0, 1),
    ("w50-fp32", 0.5, "fp32", 31_020, 32_700, 378_000, 41.0, 1),
    ("w25-int8", 0.25, "int8", 2_426, 8_300, 97_000, 31.0, 4),
    ("w25-fp32", 0.25, "fp32", 8_110, 9_800, 97_000, 24.0, 9),
)


def benchmark():
    return Benchmark(
        gemm_m1_fp32_gflops=11.2,
        gemm_m1_int8_gops=19.8,
        gemm_m256_fp32_gflops=71.5,
        gemm_m256_int8_gops=182.0,
        depthwise_fp32_gflops=6.9,
        pointwise_fp32_gflops=44.1,
        copy_l2_gb_s=61.0,
        copy_l3_gb_s=27.5,
        copy_dram_gb_s=11.9,
        cpu_s=1.4,
    )


def hardware(device_id="watch-01", device_class="phone-mid", slowdown=2.1, energy=21.0):
    return DeviceProfile(
        device_id=device_id,
        device_class=device_class,
        machine="x86_64 Linux",
        cores=2,
        isa=("avx2", "fma", "avx512_vnni"),
        ram_bytes=3_900_000_000,
        storage_free_bytes=21_000_000_000,
        battery_fraction=0.82 if "phone" in device_class else None,
        providers=("CPUExecutionProvider",),
        benchmark=benchmark(),
        slowdown_modelled=slowdown,
        energy_pj_per_mac_modelled=energy,
    )


def verdict(rows=200, lost=3, won=2, margin=0.01):
    drop = (lost - won) / rows
    bound = drop + 1.645 * math.sqrt(lost + won - (lost - won) ** 2 / rows) / rows if lost + won else 0.0
    finding = REJECTED if drop > margin else PROVEN if bound <= margin else NOT_SHOWN_WORSE
    return Verdict(
        verdict=finding,
        rows=rows,
        reference_only=lost,
        variant_only=won,
        drop=drop,
        bound=bound,
        margin=margin,
        confidence=0.95,
    )


def efficiency(payload, file, macs, p50_us, hw):
    slowed = hw.slowdown_modelled != 1
    return Efficiency(
        payload_bytes=payload,
        file_bytes=file,
        macs=macs,
        latency_p50_us_measured=p50_us,
        latency_p99_us_measured=p50_us * 1.9,
        cpu_p50_us_measured=p50_us * 0.98,
        load_ms_measured=1.9,
        memory_bytes_measured=file * 9 + 310_000,
        latency_ms_modelled=p50_us * hw.slowdown_modelled / 1000 if slowed else None,
        energy_mj_modelled=macs * (hw.energy_pj_per_mac_modelled or 0) * 1e-9,
    )


def rung(recipe, keep, precision, cost, found, score, ratio, *, unmet=(), note=""):
    return Rung(
        recipe=recipe,
        precision=precision,
        weight_bits=8,
        mask=Mask(layers=(KeptChannels(layer="conv2", total=64, kept=tuple(range(int(64 * keep)))),)),
        validation_score=score,
        verdict=found,
        efficiency=cost,
        latency_ratio=ratio,
        payload_sha256="9f2c" * 16,
        unmet=unmet,
        note=note,
    )


def ladder_of(hw, personal, rng, *, budget_ms):
    reference = rung(
        FALLBACK, 1.0, "fp32", efficiency(FP32_BYTES, 121_300, 1_480_000, 92.0, hw), verdict(200, 0, 0), personal, 1.0
    )
    rungs = []
    rows = int(rng.integers(180, 900))
    for name, keep, precision, payload, file, macs, p50_us, loss in RECIPES:
        lost = int(rng.poisson(loss * rows / 400))
        won = min(lost, int(rng.integers(0, 4)))
        slower = p50_us * float(rng.uniform(0.9, 1.1))
        cost = efficiency(payload, file, macs, slower, hw)
        unmet = (f"latency_ms {cost.latency_ms:.4g} of {budget_ms:.4g}",) if cost.latency_ms > budget_ms else ()
        found = verdict(rows, lost, won)
        note = "rejected by the gate" if found.verdict == REJECTED else ""
        score = personal - found.drop
        rungs.append(rung(name, keep, precision, cost, found, score, 92.0 / slower, unmet=unmet, note=note))
    return Ladder(
        device_id=hw.device_id,
        round=40,
        base_version=40,
        base_hash="51ab" * 16,
        personal_method="finetune",
        base_validation_score=personal - 0.04,
        personal_validation_score=personal,
        reference=reference,
        rungs=tuple(rungs),
    )


def deployed(ladder, *, withdrawn=()):
    able = [r for r in ladder.rungs if not r.note and r.recipe not in withdrawn]
    best = min(able, key=lambda r: (len(r.unmet), r.efficiency.payload_bytes), default=ladder.reference)
    refused = "; ".join(f"{r.recipe} is rejected by the gate" for r in ladder.rungs)
    reason = f"the smallest of {len(able)} that may be deployed" if able else f"the fp32 reference: {refused}"
    return Variant(
        device_id=ladder.device_id,
        base_version=ladder.base_version,
        base_hash=ladder.base_hash,
        personal_method=ladder.personal_method,
        rung=best,
        artifact_sha256="c0de" * 16,
        parent=None,
        reason=reason,
    )
