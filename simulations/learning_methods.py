"""The methods that the bench of learning compares. To add one: a `Method` here.

All start from the same model, meet the same devices in the same rounds with the same local seeds, train with the job's
local epochs, batches, clipping and cooled learning rate, and merge by the job's server optimizer. What differs is said
in `learning_turns` (a device's part in a round), `learning_training` (what that leads to) and `learning_finals`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fedtailor.simulations.federation import PLAIN
from fedtailor.simulations.learning_finals import (
    fine_tuned,
    in_integers,
    mixed,
    own,
    personal,
    shared,
    with_own_head,
    with_own_part,
)
from fedtailor.simulations.learning_outcome import Ending, Final
from fedtailor.simulations.learning_training import Training, alone, by_the_job, ditto, plainly, together
from fedtailor.simulations.learning_turns import FEDALA, FEDBABU, FEDPER, FEDREP

OURS, OURS_INT8 = "ours", "ours-int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """`training` is what all devices do, carried out once for all methods that name the same; `final` what each ends
    with. A newcomer gets the shared model.
    """

    name: str
    training: str
    final: Callable[[Ending], Final]


TRAININGS: dict[str, Training] = {
    "alone": alone,
    "together": together,
    "fedavg": plainly(PLAIN),
    "ditto": ditto,  # Li et al. 2021, arXiv:2012.04221, algorithm 1
    "fedrep": plainly(FEDREP),  # Collins et al. 2021, arXiv:2102.07078, algorithm 1
    "fedper": plainly(FEDPER),  # Arivazhagan et al. 2019, arXiv:1912.00818, algorithm 1
    "fedbabu": plainly(FEDBABU),  # Oh et al. 2022, arXiv:2106.06042, algorithm 1
    "fedala": plainly(FEDALA),  # Zhang et al. 2023, arXiv:2212.01197, algorithm 1
    "ours": by_the_job,
}
METHODS = {
    method.name: method
    for method in (
        Method(name="Local", training="alone", final=own),
        Method(name="pooled", training="together", final=shared),
        Method(name="FedAvg", training="fedavg", final=shared),
        Method(name="FedAvg+fine-tuning", training="fedavg", final=fine_tuned),
        Method(name="Ditto", training="ditto", final=own),
        Method(name="FedRep", training="fedrep", final=with_own_head),
        Method(name="FedPer", training="fedper", final=with_own_part),
        Method(name="FedBABU", training="fedbabu", final=fine_tuned),
        Method(name="FedALA", training="fedala", final=mixed),
        Method(name=OURS, training="ours", final=personal),
        Method(name=OURS_INT8, training="ours", final=in_integers),
    )
}
