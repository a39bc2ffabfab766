"""What a training of the bench of learning leads to, and one device at its end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fedtailor.client.personalise import Personal, personalise
from fedtailor.client.profile_data import profile_data
from fedtailor.protos.data_profile import DataProfile
from fedtailor.protos.plan import Plan
from fedtailor.protos.samples import DeviceData, Samples
from fedtailor.protos.schema import State
from fedtailor.simulations.federation import Kept
from fedtailor.simulations.learning_course import Intake

OWN, LOCAL = "own", "local"  # what devices keep: a model of their own, or the tensors that never leave them


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """`shared` is the model that everybody can have, None: there is none; `kept` what each device has beside it.

    Bytes are means over a round of a device, envelopes included; None where it is rows that move, not models.
    """

    shared: State | None
    kept: Mapping[str, Kept] = field(default_factory=dict)
    uplink_bytes: float | None = None
    downlink_bytes: float | None = None


@dataclass(frozen=True, eq=False)
class Ending:
    """One device when the training is over: its rows, and what all of them led to.

    `members` are the devices that took part, where this one did not.
    """

    intake: Intake
    outcome: Outcome
    data: DeviceData
    members: Sequence["Ending"] = ()

    @property
    def shared(self) -> State:
        """The shared model.

        Raises:
            ValueError: this training has none.
        """
        if self.outcome.shared is None:
            raise ValueError("Ending.shared: this training leads to no shared model")
        return self.outcome.shared

    @property
    def kept(self) -> Kept:
        """What this device has of its own; empty for one that never had a turn."""
        return self.outcome.kept.get(self.data.device_id, {})

    @cached_property
    def personal(self) -> Personal:
        """What the product makes of the shared model for this device."""
        return personalise(self.shared, self.data, self.plan)

    @cached_property
    def plan(self) -> Plan:
        """What the product asks of this device, by its data."""
        return self.intake.own_plan(self.data)

    @cached_property
    def profile(self) -> DataProfile:
        """All that a server knows of its rows."""
        return profile_data(self.data)


@dataclass(frozen=True, eq=False)
class Final:
    """The model that a device ends with: its score on rows, and how it came to be in a word."""

    score: Callable[[Samples], float]
    way: str
