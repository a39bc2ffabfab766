"""Who is in the fleet: devices by their own ids, whatever node ids Flower gives them today."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from flwr.app import RecordDict
from flwr.serverapp import Grid

from fedtailor.protos.errors import DecodeError, PlanError
from fedtailor.protos.messages import Profile
from fedtailor.protos.model_spec import NEXT_TOKEN
from fedtailor.server.content import check_finite, content_of, read_reply
from fedtailor.server.rounds import FIRST_PAUSE_S, LONGEST_PAUSE_S, Ask, Call, Clock, Exchange, exchange

PROFILE = "query.profile"
LONGEST_ID = 200
MOST_TAGS = 100


@dataclass(slots=True)
class Roster:
    """Profiles, node ids and the round in which each was last asked for its profile, by device id; `refused` nodes are
    not asked again.
    """

    profiles: dict[str, Profile] = field(default_factory=dict)
    profiled: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)

    def present(self, grid: Grid) -> list[str]:
        """Devices that are connected now, sorted by id: nothing may depend on node ids, which are random."""
        online = set(grid.get_node_ids())
        return sorted(device_id for device_id, node in self.nodes.items() if node in online)

    def rows(self, device_id: str) -> int:
        """How many rows the device trains on, by its profile."""
        return self.profiles[device_id].data.train_samples


def wait_for_nodes(grid: Grid, least: int, timeout_s: float, clock: Clock) -> list[int]:
    """The nodes connected once there are `least`, or when the time is up."""
    end, pause = clock.now() + timeout_s, FIRST_PAUSE_S
    while len(nodes := list(grid.get_node_ids())) < least and (left := end - clock.now()) > 0:
        clock.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE_S)
    return nodes


def enrol(
    grid: Grid, roster: Roster, call: Call, accept: Callable[[Profile], None], *, clock: Clock
) -> tuple[Exchange, list[str]]:
    """Ask every node that is not on the roster for its profile; returns who joined, sorted.

    `accept` may refuse a profile with a PlanError. A device that comes back under another node id replaces itself.
    """
    online = set(grid.get_node_ids())
    known = {*roster.nodes.values(), *roster.refused}
    names = {f"node {node}": node for node in sorted(online - known)}
    joined: dict[str, str] = {}

    def receive(name: str, content: RecordDict) -> None:
        profile = read_reply(content, "profile", Profile, sender=name)
        check_told(profile, name)
        device_id = profile.data.device_id
        if roster.nodes.get(device_id) in online:
            raise DecodeError(f"{name}: says it is device {device_id}, which is connected already; give it another id")
        accept(profile)
        roster.profiles[device_id], roster.nodes[device_id] = profile, names[name]
        roster.profiled[device_id] = call.round
        joined[name] = device_id

    found = exchange(grid, _asks(names.items()), call, receive, clock=clock)
    roster.refused |= {names[name] for name, traffic in found.traffic.items() if not traffic.answered}
    by_device = {joined[name]: traffic for name, traffic in found.traffic.items() if name in joined}
    return Exchange(dict(sorted(by_device.items())), found.problems), sorted(joined.values())


def _asks(names: Iterable[tuple[str, int]]) -> Iterable[Ask]:
    return (Ask(name, node, content_of()) for name, node in names)


def check_told(profile: Profile, sender: str) -> None:
    """Whether a profile can be true, as far as the server can tell.

    Raises:
        DecodeError: it cannot. PlanError: it lacks what a model is chosen by.
    """
    data, device_id = profile.data, profile.data.device_id
    if not device_id or len(device_id) > LONGEST_ID or not device_id.isprintable():
        raise DecodeError(
            f"{sender}: expected a printable device id of 1 to {LONGEST_ID} characters, got {device_id!r}"
        )
    if profile.hardware.device_id != device_id:
        raise DecodeError(f"{sender}: hardware is of device {profile.hardware.device_id!r}, data of {device_id!r}")
    check_finite(profile, sender=f"device {device_id}")
    if data.train_samples < 0 or data.validation_samples < 0 or min(data.class_counts, default=0) < 0:
        raise DecodeError(f"device {device_id}: its profile has a count below 0")
    if len(profile.tags) > MOST_TAGS or not all(0 < len(tag) <= LONGEST_ID for tag in profile.tags):
        raise DecodeError(f"device {device_id}: expected at most {MOST_TAGS} tags of 1 to {LONGEST_ID} characters")
    channels = 0 if data.kind == NEXT_TOKEN or not data.sample_shape else data.sample_shape[-1]
    if data.train_samples and not len(data.feature_means) == len(data.feature_variances) == channels:
        raise PlanError(f"device {device_id}: expected moments of {channels} channels, got {len(data.feature_means)}")
    if min((*data.feature_variances, data.target_variance), default=0.0) < 0:
        raise DecodeError(f"device {device_id}: its profile has a variance below 0")
    if data.class_counts and len(data.class_counts) != data.outputs:
        raise DecodeError(f"device {device_id}: {len(data.class_counts)} class counts came for {data.outputs} outputs")
