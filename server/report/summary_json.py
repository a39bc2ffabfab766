"""A run as plain data for programs: keys in a fixed order, what is not known is null."""

import math
from dataclasses import asdict
from typing import Any

from fedtailor.protos.efficiency import Efficiency
from fedtailor.protos.summary import RoundRow, Summary
from fedtailor.protos.variant import Variant
from fedtailor.server.report.figures import DeviceFigures, figures


def summary_dict(summary: Summary) -> dict[str, Any]:
    """What `--json` prints and `summary.json` keeps; scores are in the metric's unit, accuracy as a fraction."""
    of = figures(summary)
    result = {
        "devices": len(summary.devices),
        "rounds": len(summary.rounds),
        "base_score": of.base_score,
        "personal_score": of.personal_score,
        "variant_score": of.variant_score,
        "worst_variant_score": of.worst_variant_score,
        "payload_ratio_median": of.payload_ratio_median,
        "latency_ratio_median": of.latency_ratio_median,
        "uplink_bytes_per_device_round": of.uplink_bytes_per_device_round,
        "uplink_ratio": of.uplink_ratio,
        "verdicts": of.outcomes,
        "seconds": summary.seconds,
        "metric": summary.metric,
        "better": summary.better,
        "worst_base_score": of.worst_base_score,
        "worst_personal_score": of.worst_personal_score,
        "devices_scored": of.scored,
        "budgets_met": of.budgets_met,
        "budgets_unmet": of.budgets_unmet,
        "name": summary.name,
        "kind": summary.kind,
        "model": summary.model,
        "base_fp32_bytes": summary.base_fp32_bytes,
        "codec": summary.codec,
        "seed": summary.seed,
        "withdrawn": list(summary.withdrawn),
        "certificates": asdict(summary.certificates),
        "machine": summary.machine,
        "rows": [_device(device) for device in of.devices],
        "curve": [_round(row) for row in summary.rounds],
    }
    return {key: _without_nan(value) for key, value in result.items()}


def _device(device: DeviceFigures) -> dict[str, Any]:
    row = device.row
    return {
        "device": device.device_id,
        "device_class": row.hardware.device_class,
        "plan": row.plan,
        "base_score": device.base,
        "personal_score": device.personal,
        "variant_score": device.variant,
        "test_rows": row.scores.rows if row.scores else 0,
        "verdict": device.outcome,
        "payload_ratio": device.payload_ratio,
        "latency_ratio": device.latency_ratio,
        "uplink_bytes_per_round": device.uplink_bytes_per_round,
        "rounds_answered": row.rounds_answered,
        "budget_met": device.met,
        "budget": {check.name: {"limit": check.limit, "actual": check.actual} for check in device.checks},
        "variant": _variant(row.variant) if row.variant else None,
        "drifts": [asdict(each) for each in row.drifts],
        "problems": list(row.problems),
    }


def _variant(variant: Variant) -> dict[str, Any]:
    rung, verdict = variant.rung, variant.rung.verdict
    return {
        "recipe": rung.recipe,
        "precision": rung.precision,
        "weight_bits": rung.weight_bits,
        "personal_method": variant.personal_method,
        "base_version": variant.base_version,
        "artifact_sha256": variant.artifact_sha256,
        "reason": variant.reason,
        "validation_rows": verdict.rows,
        "drop": verdict.drop,
        "bound": verdict.bound,
        "margin": verdict.margin,
        "confidence": verdict.confidence,
        **_efficiency(rung.efficiency),
    }


def _efficiency(efficiency: Efficiency) -> dict[str, Any]:
    return {name: getattr(efficiency, name) for name in Efficiency.__slots__}


def _round(row: RoundRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in RoundRow.__slots__}


def _without_nan(value: Any) -> Any:
    """JSON knows neither NaN nor infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return value
