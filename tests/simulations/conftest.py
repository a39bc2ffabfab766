"""Worker processes import what is in `support` by name: a spawned process inherits the path, not pytest's modules."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
