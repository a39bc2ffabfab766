"""What optimising one model for one device gave, and the same as rows for programs."""

from dataclasses import asdict, dataclass

from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import DeviceData
from fedtailor.protos.variant import Ladder, Rung
from fedtailor.strategies.task import TASKS, Task


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidate:
    """One rung with the file that would run. Without test rows there is no test score."""

    rung: Rung
    payload: bytes
    model: bytes
    test_score: float | None
    test_interval: tuple[float, float] | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Optimised:
    """The fp32 reference, the rungs mild to extreme, which one runs and why, and a line for each that became none.

    `whole`: the model could not be traced, and its payloads are compressed ONNX files.
    """

    data: DeviceData
    plan: Plan
    machine: str
    whole: bool
    ladder: Ladder
    reference: Candidate
    rungs: tuple[Candidate, ...]
    chosen: Rung
    reason: str
    problems: tuple[str, ...]

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return (self.reference, *self.rungs)

    @property
    def task(self) -> Task:
        return TASKS[self.data.kind]


def as_dict(optimised: Optimised) -> dict[str, object]:
    """Everything but the files, for JSON. Latencies are of one sample, in microseconds; scores in the metric's unit.

    `chosen` is the recipe that runs; `fp32` is the reference itself.
    """
    data, plan = optimised.data, optimised.plan
    return {
        "device": data.device_id,
        "machine": optimised.machine,
        "model": plan.model.name,
        "seed": plan.seed,
        "metric": optimised.task.metric,
        "better": optimised.task.better,
        "rows": {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)},
        "personal": {
            "method": optimised.ladder.personal_method,
            "base_validation_score": optimised.ladder.base_validation_score,
        },
        "gate": asdict(plan.gate),
        "budget": {name: limit for name, limit in asdict(plan.budget).items() if limit is not None},
        "reference": _row(optimised.reference, optimised.chosen),
        "rungs": [_row(candidate, optimised.chosen) for candidate in optimised.rungs],
        "chosen": optimised.chosen.recipe,
        "reason": optimised.reason,
        "problems": list(optimised.problems),
    }


def _row(candidate: Candidate, chosen: Rung) -> dict[str, object]:
    rung, takes = candidate.rung, candidate.rung.efficiency
    return {
        "recipe": rung.recipe,
        "precision": rung.precision,
        "weight_bits": rung.weight_bits,
        "payload_bytes": takes.payload_bytes,
        "file_bytes": takes.file_bytes,
        "latency_p50_us": takes.latency_p50_us_measured,
        "latency_p99_us": takes.latency_p99_us_measured,
        "latency_ratio": rung.latency_ratio,
        "memory_bytes": takes.memory_bytes_measured,
        "validation_score": rung.validation_score,
        "test_score": candidate.test_score,
        "test_interval": candidate.test_interval,
        "verdict": rung.verdict.verdict,
        "drop": rung.verdict.drop,
        "bound": rung.verdict.bound,
        "unmet": list(rung.unmet),
        "note": rung.note,
        "doubt": rung.doubt,
        "chosen": rung is chosen,
    }
