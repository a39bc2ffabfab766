"""One device's part of the page: what it is, what it tried, what it runs and why."""

from fedtailor.protos.summary import Summary
from fedtailor.protos.variant import Rung
from fedtailor.server.report.budgets import WORDS
from fedtailor.server.report.claim import evidence
from fedtailor.server.report.drifted import latest_text
from fedtailor.server.report.figures import DeviceFigures
from fedtailor.server.report.markup import Child, Markup, tag
from fedtailor.server.report.page_ladder import ladder_table
from fedtailor.server.report.page_parts import (
    budget_badge,
    heading_row,
    outcome_badge,
    pairs,
    problem_list,
    table_row,
)
from fedtailor.server.report.plot_data import data_plot
from fedtailor.server.report.wording import (
    UNKNOWN,
    bytes_text,
    counted,
    limit_text,
    number_text,
    ratio_text,
    score_text,
)
from fedtailor.strategies.budget_check import Check


def device_part(summary: Summary, device: DeviceFigures, place: int, *, opened: bool) -> Markup:
    """A part that folds; `place` numbers it on the page, so that no device's name can break a link."""
    return tag(
        "details",
        _headline(summary, device),
        tag(
            "div",
            tag("span", id=f"device-{place}", class_="anchor"),
            problem_list(device.row.problems),
            tag(
                "div",
                _deployed(summary, device),
                _budget(device),
                _hardware(device),
                _data(device, place),
                class_="device-facts",
            ),
            ladder_table(summary, device.row),
            class_="device-body",
        ),
        class_="device",
        open=opened,
    )


def _headline(summary: Summary, device: DeviceFigures) -> Markup:
    row = device.row
    runs = f"{row.variant.rung.recipe}, {ratio_text(device.payload_ratio)} smaller" if row.variant else "no variant"
    scores = " → ".join(score_text(score, summary.metric) for score in (device.base, device.personal, device.variant))
    return tag(
        "summary",
        tag("h3", device.device_id),
        tag("span", f"{row.hardware.device_class} · {scores} · {runs}", class_="note"),
        outcome_badge(device.outcome),
        budget_badge(device),
    )


def _hardware(device: DeviceFigures) -> Markup:
    it, bench = device.row.hardware, device.row.hardware.benchmark
    slowed = it.slowdown_modelled != 1
    entries: list[tuple[str, Child]] = [
        ("class", it.device_class + (f", modelled {number_text(it.slowdown_modelled)}× slower" if slowed else "")),
        ("machine", f"{it.machine}, {counted(it.cores, 'core')}"),
        ("instructions", ", ".join(it.isa) or UNKNOWN),
        ("memory, storage", f"{bytes_text(it.ram_bytes)}, {bytes_text(it.storage_free_bytes)} free"),
        ("battery", UNKNOWN if it.battery_fraction is None else f"{it.battery_fraction:.0%}"),
        ("runtime", ", ".join(it.providers) or UNKNOWN),
        ("matrix × vector", _pair(bench.gemm_m1_fp32_gflops, bench.gemm_m1_int8_gops)),
        ("matrix × matrix", _pair(bench.gemm_m256_fp32_gflops, bench.gemm_m256_int8_gops)),
        (
            "depthwise, pointwise",
            f"{number_text(bench.depthwise_fp32_gflops)}, {number_text(bench.pointwise_fp32_gflops)} Gflop/s",
        ),
        (
            "copy L2, L3, DRAM",
            f"{', '.join(map(number_text, (bench.copy_l2_gb_s, bench.copy_l3_gb_s, bench.copy_dram_gb_s)))} GB/s",
        ),
    ]
    if it.energy_pj_per_mac_modelled is not None:
        entries.append(("energy, modelled", f"{number_text(it.energy_pj_per_mac_modelled)} pJ a multiply-accumulate"))
    return tag("section", tag("h4", "Hardware"), pairs(entries))


def _pair(fp32_gflops: float, int8_gops: float) -> str:
    return f"{number_text(fp32_gflops)} Gflop/s fp32, {number_text(int8_gops)} Gop/s int8"


def _data(device: DeviceFigures, place: int) -> Markup:
    it = device.row.data
    tested = device.row.scores.rows if device.row.scores else 0
    entries: list[tuple[str, Child]] = [
        ("rows", f"{it.train_samples:,} train, {it.validation_samples:,} validation, {tested:,} test"),
        ("sample", " × ".join(map(str, it.sample_shape)) or "one value"),
        ("drift", latest_text(it.drift, it.kind)),
        ("rounds answered", f"{device.row.rounds_answered:,}"),
        ("bytes", f"{bytes_text(device.row.uplink_bytes)} up, {bytes_text(device.row.downlink_bytes)} down"),
    ]
    return tag("section", tag("h4", "Data"), pairs(entries), data_plot(it, f"data-{place}"))


def _budget(device: DeviceFigures) -> Markup:
    if not device.checks:
        return tag("section", tag("h4", "Budget"), tag("p", "No limit was set.", class_="note"))
    numbers = frozenset({1, 2})
    rows = [table_row(_limit(check), numbers) for check in device.checks]
    head = heading_row(("limit", "at most", "takes", ""), numbers)
    return tag("section", tag("h4", "Budget"), tag("div", tag("table", head, tag("tbody", rows)), class_="scroll"))


def _limit(check: Check) -> list[Child]:
    at_most, takes = (limit_text(check.name, value) for value in (check.limit, check.actual))
    return [f"{WORDS[check.name]}, {check.how}", at_most, takes, _met(check.met)]


def _met(met: bool | None) -> Child:
    if met is None:
        return UNKNOWN
    return tag("span", "met" if met else "over", class_=f"badge {'good' if met else 'bad'}")


def _deployed(summary: Summary, device: DeviceFigures) -> Markup:
    row = device.row
    plan = tag("p", f"Plan: {row.plan}.")
    if row.variant is None:
        return tag("section", tag("h4", "Plan and variant"), plan, tag("p", "No variant was deployed here."))
    variant, rung = row.variant, row.variant.rung
    entries: list[tuple[str, Child]] = [
        ("recipe", f"{rung.recipe}: {_recipe_words(rung)}"),
        ("personalised by", f"{variant.personal_method}, from base version {variant.base_version}"),
        ("evidence", evidence(rung.verdict, summary.kind)),
        ("why this one", variant.reason),
        ("artefact", tag("code", variant.artifact_sha256)),
        ("replaces", tag("code", variant.parent) if variant.parent else "nothing: the first here"),
    ]
    return tag("section", tag("h4", "Plan and variant"), plan, pairs(entries))


def _recipe_words(rung: Rung) -> str:
    return f"{rung.precision}, weights of {rung.weight_bits:.3g} bits"
