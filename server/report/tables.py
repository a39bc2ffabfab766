"""A run as a table for a terminal: a row per device, as many columns as the width allows, remarks below."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedtailor.protos.summary import Summary
from fedtailor.server.report.budgets import over_budget
from fedtailor.server.report.certified import certified
from fedtailor.server.report.claim import claim
from fedtailor.server.report.columns import VERDICT_STYLES, Column, fitting_table
from fedtailor.server.report.figures import DeviceFigures, Figures, figures
from fedtailor.server.report.remarks import remarks
from fedtailor.server.report.wording import (
    UNKNOWN,
    bytes_text,
    counted,
    milliseconds_text,
    ratio_text,
    score_text,
    short,
)

MOST_REMARKS = 12
OVER = "✗"
_STYLES = {**VERDICT_STYLES, "met": "green"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """`drop` orders what goes first where the terminal is narrow; 0 always stays."""

    title: str
    drop: int
    cell: Callable[[DeviceFigures, str], str]
    overall: Callable[[Figures, str], str] = lambda _figures, _metric: ""
    number: bool = True


def to_table(summary: Summary, width: int) -> RenderableType:
    """The claim, a table that fits into `width` characters, and what a reader should know below it."""
    of = figures(summary)
    parts: list[RenderableType] = [Text(claim(summary, of), style="bold")]
    if of.devices:
        parts += [_table(of, summary.metric, width), _key(summary)]
    parts += map(Text, certified(summary))
    return Group(*parts, *_remarks(summary))


def _remarks(summary: Summary) -> list[Text]:
    lines = remarks(summary)
    more = len(lines) - MOST_REMARKS
    if more > 0:
        lines = [*lines[:MOST_REMARKS], f"… and {counted(more, 'more remark')}; the report holds all"]
    return [Text(line, style="yellow") for line in lines]


def _table(of: Figures, metric: str, width: int) -> Table:
    columns = [
        Column(
            title=column.title,
            cells=[column.cell(device, metric) for device in of.devices],
            footer=column.overall(of, metric),
            drop=column.drop,
            number=column.number,
        )
        for column in COLUMNS
    ]
    return fitting_table(columns, width, _style)


def _key(summary: Summary) -> Text:
    unit = f"{summary.metric}{' in %' if summary.metric == 'accuracy' else ''}, {summary.better} is better"
    return Text(
        f"scores: {unit}; latency: median of one sample, one thread, measured here, modelled for a simulated class; "
        "smaller, faster: against the device's own fp32 model.",
        style="dim",
    )


def _style(cell: str) -> str:
    return "red" if cell.startswith(OVER) else _STYLES.get(cell, "")


def _scores(scores: tuple[float | None, float | None, float | None], metric: str) -> str:
    """92.1→97.0→96.8; the unit stands below the table."""
    if all(score is None for score in scores):
        return UNKNOWN
    return "→".join(score_text(score, metric).removesuffix("%").rstrip() for score in scores)


def _payload(device: DeviceFigures, _: str) -> str:
    return bytes_text(device.row.variant.rung.efficiency.payload_bytes) if device.row.variant else UNKNOWN


def _latency(device: DeviceFigures, _: str) -> str:
    variant = device.row.variant
    return milliseconds_text(variant.rung.efficiency.latency_p50_us_measured / 1000) if variant else UNKNOWN


def _modelled(device: DeviceFigures, _: str) -> str:
    variant = device.row.variant
    return milliseconds_text(variant.rung.efficiency.latency_ms_modelled) if variant else UNKNOWN


def _memory(device: DeviceFigures, _: str) -> str:
    return bytes_text(device.row.variant.rung.efficiency.memory_bytes_measured) if device.row.variant else UNKNOWN


def _recipe(device: DeviceFigures, _: str) -> str:
    return device.row.variant.rung.recipe if device.row.variant else UNKNOWN


def _budget(device: DeviceFigures, _: str) -> str:
    if device.met is None:
        return UNKNOWN
    over = over_budget(device.checks)
    return f"{OVER} {over[0] if len(over) == 1 else counted(len(over), 'limit')}" if over else "met"


def _budgets(of: Figures, _: str) -> str:
    budgeted = of.budgets_met + of.budgets_unmet
    return f"{of.budgets_met}/{budgeted} met" if budgeted else UNKNOWN


COLUMNS = (
    _Column(
        title="device",
        drop=0,
        number=False,
        cell=lambda d, _: short(d.device_id),
        overall=lambda f, _: f"all {len(f.devices)}",
    ),
    _Column(title="class", drop=6, number=False, cell=lambda d, _: d.row.hardware.device_class),
    _Column(title="plan", drop=7, number=False, cell=lambda d, _: d.row.plan),
    _Column(
        title="base→personal\n→variant",
        drop=0,
        cell=lambda d, metric: _scores((d.base, d.personal, d.variant), metric),
        overall=lambda f, metric: _scores((f.base_score, f.personal_score, f.variant_score), metric),
    ),
    _Column(title="recipe", drop=3, number=False, cell=_recipe),
    _Column(title="payload", drop=2, cell=_payload),
    _Column(
        title="smaller",
        drop=0,
        cell=lambda d, _: ratio_text(d.payload_ratio),
        overall=lambda f, _: ratio_text(f.payload_ratio_median),
    ),
    _Column(title="latency", drop=5, cell=_latency),
    _Column(title="modelled", drop=9, cell=_modelled),
    _Column(
        title="faster",
        drop=0,
        cell=lambda d, _: ratio_text(d.latency_ratio),
        overall=lambda f, _: ratio_text(f.latency_ratio_median),
    ),
    _Column(title="memory", drop=8, cell=_memory),
    _Column(
        title="up a\nround",
        drop=4,
        cell=lambda d, _: bytes_text(d.uplink_bytes_per_round),
        overall=lambda f, _: bytes_text(f.uplink_bytes_per_device_round),
    ),
    _Column(title="verdict", drop=0, number=False, cell=lambda d, _: d.outcome),
    _Column(title="budget", drop=1, number=False, cell=_budget, overall=_budgets),
)
