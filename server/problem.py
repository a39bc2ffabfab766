"""Something that went wrong without ending the run: one line, and the device it is about."""

from dataclasses import dataclass

LONGEST = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """`line` names the device and what happened; `device_id` is None where it is about no one device."""

    device_id: str | None
    line: str


def one_line(text: str) -> str:
    """Any text, from anyone, as one printable line of bounded length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
