"""The default data: ten people's smart-watches, seven shoulder exercises.

Source: `watch_dataset.npy` of the package seglearn (BSD 3-clause, copyright 2018 David M. Burns), recorded for Burns,
Leung, Hardisty, Whyne, Henry, McLachlin 2018, arXiv:1802.01489: 140 recordings at 50 Hz of six channels (acceleration
and angular rate). The file is read from the installed package, never copied; seglearn itself is not imported.
"""

import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtailor.client.fleet_arrays import SPLITS, FleetArrays
from fedtailor.protos.errors import DataError, MissingExtra

WINDOW, STEP = 100, 50  # samples: two seconds, half overlapping
BORDERS = (0.0, 0.5, 0.7, 1.0)  # of a recording: train, validation, test
SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
ABOUT = (
    "Smart-watch recordings of seglearn (BSD, David Burns et al., arXiv:1802.01489): ten people, seven shoulder "
    "exercises, six inertial channels at 50 Hz, windows of 2 s; each recording's first half trains, its last 30 % tests"
)


def watch_arrays() -> FleetArrays:
    """Windows float32 [N, 100, 6] by person, with classes 0 to 6; no window crosses a border between splits.

    Raises:
        MissingExtra: seglearn is not installed.
        DataError: its file is not the one this code was written for.
    """
    data = _recordings()
    windows, classes, people, splits = [], [], [], []
    for recording, exercise, person in zip(data["X"], data["y"], data["subject"], strict=True):
        for split, window in _windows(recording):
            windows.append(window)
            classes.append(exercise)
            people.append(f"person-{person:02d}")
            splits.append(split)
    return FleetArrays(
        x=np.stack(windows).astype(np.float32),
        y=np.array(classes, np.int64),
        device=np.array(people),
        split=np.array(splits, np.uint8),
        class_names=tuple(data["y_labels"]),
        about=ABOUT,
    )


def _windows(recording: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    borders = [int(len(recording) * border) for border in BORDERS]
    for split in range(len(SPLITS)):
        for start in range(borders[split], borders[split + 1] - WINDOW + 1, STEP):
            yield split, recording[start : start + WINDOW]


def _recordings() -> dict[str, Any]:
    spec = find_spec("seglearn")  # finds the folder without running the package
    if spec is None or spec.origin is None:
        raise MissingExtra("seglearn", "demo", "the default smart-watch fleet")
    path = Path(spec.origin).parent / "data" / "watch_dataset.npy"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: expected seglearn's recordings, got {error.strerror}; reinstall seglearn") from None
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise DataError(f"{path}: expected SHA-256 {SHA256}, got {found}; install seglearn 1.2.5")
    # a pickle runs code as it is read: only these very bytes, checked above, ever are
    data: dict[str, Any] = np.load(BytesIO(content), allow_pickle=True).item()
    return data
