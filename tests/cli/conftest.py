"""Tests of the command use the same made-up runs as those of the server."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "server" / "support"))
