"""A small public base that moves on, commit by commit."""

import numpy as np

from fedtailor.protos.plan import CodecSpec
from fedtailor.protos.schema import State
from fedtailor.server.base import Base, first_base, next_base

FP32 = CodecSpec(name="fp32", version=1)
TERNARY = CodecSpec(name="ternary", version=1, args={"tau": 0.65})


def a_state() -> State:
    rng = np.random.default_rng(0)
    return {
        "body.weight": rng.normal(0, 0.1, (40, 60)).astype(np.float32),
        "body.bias": np.zeros(40, np.float32),
        "head.weight": rng.normal(0, 0.1, (3, 40)).astype(np.float32),
    }


def commits(count: int, downlink: CodecSpec = TERNARY, *, start: State | None = None, skipped: int = 0) -> list[Base]:
    """The first base and `count` more; `skipped` rounds without a commit lie before each."""
    rng = np.random.default_rng(1)
    bases = [first_base(start or a_state())]
    for number in range(1, count + 1):
        before = bases[-1]
        state = {
            name: (value + rng.normal(0, 0.01, value.shape)).astype(np.float32) for name, value in before.state.items()
        }
        bases.append(next_base(before, state, number * (skipped + 1), downlink, (0, number)))
    return bases
