"""Update codecs: named pairs of pure functions, and the envelope around their bytes."""

from fedtailor.strategies.codec import raw, uniform  # noqa: F401 - importing registers them
