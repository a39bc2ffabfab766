"""Which processor this is and which of its instructions matter to a small network."""

import platform
from collections.abc import Collection
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_BOARD = Path("/proc/device-tree/model")
_FEATURES = {  # ours: the kernel's names, x86 first
    "avx2": ("avx2",),
    "avx512f": ("avx512f",),
    "vnni": ("avx512_vnni", "avx_vnni"),
    "neon": ("neon", "asimd"),
    "dotprod": ("asimddp",),
}
_X86 = ("x86_64", "amd64", "i686", "i386", "x86")  # as systems call it


def isa_features(cpuinfo: str) -> tuple[str, ...]:
    """Vector instructions named in the text of /proc/cpuinfo; empty where it names none."""
    flags = set((_field(cpuinfo, "flags") or _field(cpuinfo, "Features")).split())
    return tuple(ours for ours, theirs in _FEATURES.items() if not flags.isdisjoint(theirs))


def saturates(machine: str, isa: Collection[str]) -> bool:
    """Whether products of u8 and s8 are added in 16 bits, which may be too few: on x86 without VNNI.

    machine: The architecture, as `platform.machine` says it.
    """
    return machine.lower() in _X86 and "vnni" not in isa


def processor_name(cpuinfo: str, board: str) -> str:
    """The model name of the processor, else of the board (Arm systems), else of the architecture."""
    return _field(cpuinfo, "model name") or board.strip("\0 \n") or platform.processor() or platform.machine()


def this_processor() -> tuple[str, tuple[str, ...]]:
    """Name and features of the processor this runs on; no features where the system has no /proc/cpuinfo."""
    cpuinfo = _text(_CPUINFO)
    return processor_name(cpuinfo, _text(_BOARD)), isa_features(cpuinfo)


def _field(cpuinfo: str, name: str) -> str:
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
