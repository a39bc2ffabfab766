"""Tests of tables and pages import made-up runs from `support` by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
