"""Fail unless a wheel holds every file of the rooms as fedtailor/ROOM/…, its own metadata, and nothing else.

Use: python .ci/wheel.py dist/fedtailor-….whl
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("protos", "strategies", "client", "server", "simulations", "cli")


def room_files() -> set[str]:
    """Every file of the rooms, by its name in the wheel."""
    files = (path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file())
    return {f"fedtailor/{path.relative_to(ROOT).as_posix()}" for path in files if "__pycache__" not in path.parts}


def main(wheel: Path) -> int:
    """Print what is missing and what is too much; the exit code says whether anything is."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = room_files()
    findings = [f"{wheel.name}: lacks {name}; see package-data in pyproject.toml" for name in sorted(expected - packed)]
    findings += [f"{wheel.name}: holds {name}, which is in no room" for name in sorted(packed - expected)]
    print("\n".join(findings) or f"{wheel.name}: the {len(packed)} files of fedtailor/* and nothing else")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
