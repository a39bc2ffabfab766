"""From the replies of one round to the next base: how they are combined, and how the base steps by what comes of it."""

from fedtailor.strategies.merge import (  # noqa: F401 - importing registers them
    adagrad,
    adam,
    merge,
    momentum,
    multi_krum,
    sgd,
    trimmed_mean,
    yogi,
)
