"""Fail unless every installed distribution has exactly the version that constraints.txt gives it."""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

OWN = {"fedtailor", "pip"}


def normal(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Print every distribution that is not as pinned; the exit code says whether there is one."""
    lines = (Path(__file__).parents[1] / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normal(name): version for name, _, version in (line.partition("==") for line in lines if "==" in line)}
    # a build for one kind of machine carries a local part: 2.13.0+cpu
    installed = {normal(dist.name): dist.version.partition("+")[0] for dist in distributions()}
    findings = [
        f"constraints.txt: {name} is installed as {version}, pinned as {pinned.get(name)}"
        for name, version in sorted(installed.items())
        if name not in OWN and pinned.get(name) != version
    ]
    print("\n".join(findings) or f"constraints.txt: {len(installed) - len(OWN)} installed versions, all as pinned")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
