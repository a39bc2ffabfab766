"""How a run tells where it stands: stage, steps done, steps in all, a note."""

from collections.abc import Callable

Progress = Callable[[str, int, int, str], None]
