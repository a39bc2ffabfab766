"""Which channels of which layer a variant kept."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptChannels:
    """Output channels that one layer kept, ascending, of `total`."""

    layer: str
    total: int
    kept: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """A structured mask; a layer that is not named kept everything."""

    layers: tuple[KeptChannels, ...] = ()

    def hash(self) -> str:
        text = ";".join(f"{entry.layer}/{entry.total}:{','.join(map(str, entry.kept))}" for entry in self.layers)
        return hashlib.sha256(text.encode()).hexdigest()
