"""How a fleet's updates are written, by how often a device is asked: chosen on validation scores, never on test.

What an update leaves out waits on its device until the next time it is asked, so the rarer that is, the more each
update must say. Measured on pictures of 14×14 (56k parameters, 40 devices, Dirichlet 0.3, 80 rounds): a threshold that
is a share of the largest value leaves out most of an update with heavy tails, and loses points even where every fourth
device is asked; one that follows the update's own quantile, with all that is kept sent as its mean, loses least.
Training from the base and the whole residual (Xu et al. 2021, arXiv:2008.05823) wins where devices are asked rarely;
where all are asked each follows its own residual, and even half of it costs 4 points (smart-watches, one seed:
`fedtailor bench codec --rounds 40 --methods stc,stc-ahead,ours`). There, a share of 1 % falls 4 points behind fp32, and
steps of twice the root mean square do not.

Where labels do not differ a residual is old once it is said: steps of twice the root mean square lose 2 points of 75 on
keywords (15 % of the speakers asked, 100 rounds, seed 10, validation), and 6 with the base's own steps of three times
it. One bit a value, unbiased and without memory, and base steps of one lose .1. On engines held out (a quarter asked,
seed 10) these come to an error of 17.6, the former two to 20.7, and fp32 to 17.3.
"""

from dataclasses import dataclass

from fedtailor.protos.plan import CodecSpec

SAID = 0.3  # the coordinates a device names over a whole run, as a share of all
LEAST, MOST = 0.01, 0.1  # of a single update
FEWEST = 64  # coordinates: below, the envelope is most of an update
OFTEN = 0.5  # of the rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplink:
    """How devices write updates: the codec, whether they carry on what it leaves out, and the step ahead by that."""

    codec: CodecSpec
    feedback: bool
    step_ahead: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What is known of a run's updates before the first: how many rounds, the numbers in an update, and whether devices
    differ in their labels.
    """

    rounds: int
    parameters: int
    skewed: bool


def profile(participation: float, statistics: Statistics) -> Uplink:
    """The uplink for devices of which a share, `participation` (above 0, at most 1), is asked in each round.

    A device that is asked too rarely to say later what it leaves out, or whose labels are like the others', writes
    everything, in a bit a value. One that is asked in every other round or more writes steps of twice the root mean
    square, most of which are 0.
    """
    if not 0 < participation <= 1:
        raise ValueError(f"profile: participation must be above 0 and at most 1, got {participation:g}")
    asked = participation * statistics.rounds
    if participation >= OFTEN:
        return Uplink(codec=CodecSpec(name="deadzone", version=1, args={"step": 2}), feedback=True, step_ahead=0.0)
    if asked * MOST < SAID or not statistics.skewed:
        return Uplink(codec=CodecSpec(name="rotate", version=1), feedback=False, step_ahead=0.0)
    share = max(LEAST, SAID / asked, min(1.0, FEWEST / statistics.parameters))
    return Uplink(codec=CodecSpec(name="stc", version=1, args={"share": share}), feedback=True, step_ahead=1.0)


def broadcast_profile(participation: float, *, skewed: bool) -> CodecSpec:
    """How the base's own steps are written, where a share of the devices (above 0, at most 1) is asked in each round.

    The rarer a device is asked, the more broadcasts it has missed and the fewer updates the base has to tell of: steps
    of three times the root mean square where labels are skewed, else of one.
    """
    return CodecSpec(name="deadzone", version=1, args={"step": 3 if participation < OFTEN and skewed else 1})
