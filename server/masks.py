"""The masks of the devices' updates in the registry: a device says a mask once, whatever becomes of the server."""

from collections import defaultdict, deque
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from fedtailor.server.peer import NEW, Peer
from fedtailor.server.rows import MaskRow
from fedtailor.strategies.codec.sent_mask import MASKS_KNOWN, KnownMasks


def mask_rows(before: Mapping[str, Peer], after: Mapping[str, Peer]) -> list[MaskRow]:
    """Those that are known of a device after a round, and were not before it."""
    return [
        MaskRow(device_id=device_id, name=name, packed=packed)
        for device_id, peer in sorted(after.items())
        for name, packed in peer.masks.packed
        if (name, packed) not in before.get(device_id, NEW).masks.packed
    ]


def masks_known(session: Session) -> dict[str, KnownMasks]:
    """The last ones of every device that has sent any."""
    last: defaultdict[str, deque[tuple[bytes, bytes]]] = defaultdict(lambda: deque(maxlen=MASKS_KNOWN))
    for row in session.scalars(select(MaskRow).order_by(MaskRow.key)):
        last[row.device_id].append((row.name, row.packed))
    return {device_id: KnownMasks(tuple(masks)) for device_id, masks in last.items()}
