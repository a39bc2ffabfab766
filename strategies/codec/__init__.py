"""Update codecs: named pairs of pure functions, and the envelope around their bytes."""

from fedtailor.strategies.codec import (  # noqa: F401 - importing registers them
    deadzone,
    linear,
    raw,
    rotate,
    stc,
    ternary,
    topk,
    uniform,
)
