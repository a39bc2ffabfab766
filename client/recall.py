"""What this device kept from earlier messages, as nouns: damage on the disk costs a value, never a part in the job."""

from collections.abc import Callable
from logging import getLogger
from typing import TypeVar

from fedtailor.client.store import DeviceStore
from fedtailor.protos.errors import DecodeError, StoreError

Noun = TypeVar("Noun")
log = getLogger(__name__)


def recall(store: DeviceStore, name: str, read: Callable[[bytes], Noun]) -> Noun | None:
    """The value under `name`, as `read` makes it of its bytes; None where there is none.

    One that is damaged, or that `read` refuses with a DecodeError, is None too, with a line in the log: the next value
    put there replaces it.
    """
    try:
        kept = store.get(name)
        return None if kept is None else read(kept)
    except (StoreError, DecodeError) as error:
        log.warning("%s; this device goes on without it", error)
        return None
