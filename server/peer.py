"""What the server knows of one device from the replies that it has accepted."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fedtailor.server.rounds import Exchange
from fedtailor.strategies.codec.sent_mask import NO_MASKS, KnownMasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """acknowledged_round: the last one that merged its update; 0 for none. held_version: the public base that it holds;
    None where that is not known. masks: those it need not send again.
    """

    acknowledged_round: int = 0
    held_version: int | None = None
    masks: KnownMasks = NO_MASKS


NEW = Peer()


def after_exchange(peers: Mapping[str, Peer], found: Exchange, version: int) -> dict[str, Peer]:
    """The peers that an exchange about base `version` tells something of: who answered holds it, and of one that could
    not use what it got, or sent what cannot be used, nothing is known. Who was silent holds what it held.
    """
    told = {device_id: traffic for device_id, traffic in found.traffic.items() if traffic.answered or traffic.refused}
    return {
        device_id: replace(peers.get(device_id, NEW), held_version=version if traffic.answered else None)
        for device_id, traffic in told.items()
    }


def held_versions(peers: Mapping[str, Peer]) -> dict[str, int | None]:
    """What the registry keeps of them."""
    return {device_id: peer.held_version for device_id, peer in peers.items()}
