"""`fedtailor profile`: what this machine is, as a device of a fleet would say it."""

import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from fedtailor.server.report.wording import bytes_text, number_text

if TYPE_CHECKING:
    from rich.table import Table

    from fedtailor.protos.device_profile import DeviceProfile


def profile(
    as_json: Annotated[bool, typer.Option("--json", help="as JSON on stdout, for programs")] = False,
) -> None:
    """This machine's hardware profile, with a benchmark of under 2 s of processor time."""
    from fedtailor.cli.output import print_json, print_rich
    from fedtailor.client.probe import probe

    found = probe(platform.node() or "this machine")
    if as_json:
        print_json(asdict(found))
    else:
        print_rich(_table(found))


def _table(found: "DeviceProfile") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, value in _lines(found):
        table.add_row(Text(name, style="dim"), Text(value))
    return table


def _lines(found: "DeviceProfile") -> list[tuple[str, str]]:
    bench = found.benchmark
    battery = "none" if found.battery_fraction is None else f"{found.battery_fraction:.0%}"
    return [
        ("device", found.device_id),
        ("machine", found.machine),
        ("cores", str(found.cores)),
        ("instructions", ", ".join(found.isa) or "none known"),
        ("memory", bytes_text(found.ram_bytes)),
        ("storage free", bytes_text(found.storage_free_bytes)),
        ("battery", battery),
        ("runtime", ", ".join(found.providers)),
        ("matrix × vector", _pair(bench.gemm_m1_fp32_gflops, bench.gemm_m1_int8_gops)),
        ("matrix × matrix", _pair(bench.gemm_m256_fp32_gflops, bench.gemm_m256_int8_gops)),
        ("depthwise conv", f"{number_text(bench.depthwise_fp32_gflops)} Gflop/s fp32"),
        ("pointwise conv", f"{number_text(bench.pointwise_fp32_gflops)} Gflop/s fp32"),
        ("copy, L2", f"{number_text(bench.copy_l2_gb_s)} GB/s"),
        ("copy, L3", f"{number_text(bench.copy_l3_gb_s)} GB/s"),
        ("copy, DRAM", f"{number_text(bench.copy_dram_gb_s)} GB/s"),
        ("benchmark took", f"{bench.cpu_s:.1f} s of processor time, one thread"),
    ]


def _pair(fp32_gflops: float, int8_gops: float) -> str:
    return f"{number_text(fp32_gflops)} Gflop/s fp32, {number_text(int8_gops)} Gop/s int8"
