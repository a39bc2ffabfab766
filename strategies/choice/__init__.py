"""Ways to choose whom a round asks, each with the probability of every choice known."""

from fedtailor.strategies.choice import available, uniform, utility  # noqa: F401 - importing registers them
