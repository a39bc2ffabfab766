"""What several rooms' tests share lies in `support`, imported by name; no test is judged by wall time."""

import sys
from pathlib import Path

import torch
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent / "support"))
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
torch.set_num_threads(1)  # nets this small take many times as long on two
