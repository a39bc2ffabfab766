"""The folder that an optimisation leaves behind."""

import json
from pathlib import Path

from fedtailor.protos.errors import ConfigError
from fedtailor.simulations.ladder_plot import ladder_svg
from fedtailor.simulations.optimised import Optimised, as_dict

LADDER, PICTURE, MODEL = "ladder.json", "pareto.svg", "model.onnx"
PAYLOAD, WHOLE_PAYLOAD = "payload.bin", "model.onnx.gz"


def write_files(optimised: Optimised, folder: Path) -> None:
    """ladder.json, pareto.svg, and a folder for each rung with the model as it runs and the payload as it is sent.

    Raises:
        ConfigError: the folder cannot be written, or holds such files already.
    """
    try:
        for candidate in optimised.candidates:
            rung = folder / candidate.rung.recipe
            rung.mkdir(parents=True)
            (rung / MODEL).write_bytes(candidate.model)
            (rung / (WHOLE_PAYLOAD if optimised.whole else PAYLOAD)).write_bytes(candidate.payload)
        rows = json.dumps(as_dict(optimised), indent=2, allow_nan=False)
        (folder / LADDER).write_text(rows + "\n", encoding="utf-8")
        (folder / PICTURE).write_text(ladder_svg(optimised), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: expected an empty folder that can be written, got: {error.strerror}") from None
