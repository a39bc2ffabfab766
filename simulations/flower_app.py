"""Where the folder lies that `flwr run` takes."""

from importlib import resources
from pathlib import Path


def app_folder() -> Path:
    """The Flower app of this installation: `flwr run "$(python -m fedtailor.simulations.flower_app)"`."""
    return Path(str(resources.files("fedtailor.simulations"))) / "flower-app"


if __name__ == "__main__":
    print(app_folder())
