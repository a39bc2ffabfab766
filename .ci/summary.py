"""Fail unless the JSON a run printed has a value for every key it promises, and its folder every file.

Use: fedtailor simulate --json --out RUN >SUMMARY.json; python .ci/summary.py SUMMARY.json RUN
"""

import json
import sys
from pathlib import Path

KEYS = [
    "devices",
    "rounds",
    "base_score",
    "personal_score",
    "variant_score",
    "worst_variant_score",
    "payload_ratio_median",
    "latency_ratio_median",
    "uplink_bytes_per_device_round",
    "uplink_ratio",
    "verdicts",
    "seconds",
]
FILES = ("config.toml", "registry.sqlite", "artifacts", "summary.json", "report.html")


def main(summary_path: Path, run: Path) -> int:
    """Print what is missing; the exit code says whether anything is."""
    summary = json.loads(summary_path.read_text(encoding="utf-8"))
    findings = [f"{summary_path.name}: lacks the key {key!r}" for key in KEYS if key not in summary]
    findings += [f"{summary_path.name}: {key} is null" for key in KEYS if summary.get(key, 0) is None]
    findings += [f"{run.name}/: lacks {name}" for name in FILES if not (run / name).exists()]
    print("\n".join(findings) or json.dumps({key: summary[key] for key in KEYS if key != "devices"}))
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
