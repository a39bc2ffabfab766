"""The built-in models: one file each, registered by name."""

from fedtailor.strategies.models import conv1d, conv2d, mlp, next_token  # noqa: F401 - importing registers them
