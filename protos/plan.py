"""What the server asks of one device: data with versions, never a class path."""

from dataclasses import dataclass, field

from fedtailor.protos.budget import Budget
from fedtailor.protos.model_spec import ModelSpec

PLAN_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """How a training step is kept small; as it stands, nothing is saved.

    `precision` of layers and activations is `fp32` or `bf16` (parameters and sums stay fp32). Activations of all but
    the last of `checkpoints` runs of layers are computed a second time instead of held; 0 or 1 holds all. Gradients of
    a batch are summed over `micro_batch` rows at a time; 0 takes the batch at once.
    """

    precision: str = "fp32"
    checkpoints: int = 0
    micro_batch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """SGD with momentum on the device's train split, from exactly the public base."""

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    footprint: Footprint = field(default_factory=Footprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalPlan:
    """How the personal fp32 model comes from the base: `shared`, `prior`, `finetune`, `ditto` or `head`.

    `prior` trains nothing: the base is told how often the device has met each class. `proximal` is λ of Ditto (Li et
    al. 2021, arXiv:2012.04221, algorithm 1).
    """

    method: str
    epochs: int
    batch_size: int
    learning_rate: float
    proximal: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One rung of the ladder: a payload planned to take at most 1/`shrink` of 4 bytes a parameter, and a run at most
    1/`speed` of the fp32 model's time.

    Which channels go and how many bits each layer's weights get is planned on the device. With `student` below 1 there
    is nothing to plan: a net of at most that share of the parameters, narrower or shallower, learns from the personal
    one. `precision` is how it computes: `int8`, `fp32`, or `fastest`, whichever of the two measures faster there.
    """

    name: str
    shrink: float
    speed: float = 1.0
    student: float = 1.0
    precision: str = "fastest"
    distil_steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecSpec:
    """How an update is written down: a registered codec, its version and its parameters."""

    name: str
    version: int
    args: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePlan:
    """`margin` is a fraction of rows (0.01: one point), or of the squared error for regression.

    A variant whose loss may have grown by more than `loss_margin`, in nats a row or symbol (regression: a fraction of
    the squared error), runs only where there is no better one.
    """

    margin: float = 0.01
    confidence: float = 0.95
    loss_margin: float = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Submodel:
    """What a device too small for a training step of the whole model trains instead.

    `depth`: the layers up to early exit `exit`. `width`: a `share` (0 to 1) of every layer's channels, from channel
    `offset` on, around the end. `leave-out`: nothing; `note` then says why, in one line.
    """

    kind: str
    exit: str = ""
    share: float = 1.0
    offset: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything one device needs to know to take part in one round.

    `step_ahead` is the share (0 to 1) of its residual that a device adds to the base before it trains. Tensors named in
    `local_parameters` are not part of its update. `downlink` is the codec of the public base's own steps. Without a
    `submodel` the device trains the whole model. It was made from the data profile of round `profile_round`.
    `label_prior` [classes] is what its labels say of a class beforehand, in nats against the fleet; empty: nothing.
    """

    device_id: str
    round: int
    seed: int
    base_version: int
    model: ModelSpec
    train: TrainPlan
    personal: PersonalPlan
    personal_parameters: tuple[str, ...]
    recipes: tuple[Recipe, ...]
    codec: CodecSpec
    feedback: bool
    gate: GatePlan
    budget: Budget
    downlink: CodecSpec
    step_ahead: float = 0.0
    local_parameters: tuple[str, ...] = ()
    submodel: Submodel | None = None
    profile_round: int = 0
    label_prior: tuple[float, ...] = ()
    version: int = PLAN_VERSION
