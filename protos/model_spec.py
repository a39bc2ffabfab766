"""Which built-in model, for which kind of task, on which shape of input."""

from dataclasses import dataclass

CLASSIFICATION = "classification"
REGRESSION = "regression"
NEXT_TOKEN = "next-token"
KINDS = (CLASSIFICATION, REGRESSION, NEXT_TOKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model as data: everything that is needed to build it again, anywhere.

    `input_shape` is one sample as stored in a fleet file (channels last): [F], [time, C], [H, W, C] or [T].
    `outputs`: classes, symbols, or 1 for regression. Features are standardised per channel with `feature_means` and
    `feature_scales`; a regression answers in the unit of y: raw · target_scale + target_mean. `exits` names the layers
    after which an early exit hangs, in the model's order; its numbers are part of the model's.
    """

    name: str
    version: int
    kind: str
    input_shape: tuple[int, ...]
    outputs: int
    feature_means: tuple[float, ...] = ()
    feature_scales: tuple[float, ...] = ()
    target_mean: float = 0.0
    target_scale: float = 1.0
    exits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"ModelSpec.kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
