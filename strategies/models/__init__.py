"""The built-in models: one file each, registered by name; of those that suit a task, the first here is chosen."""

from fedtailor.strategies.models import (  # noqa: F401 - importing registers them
    conv1d,
    conv2d,
    mlp,
    next_token,
    resnet,
    transformer,
)
