"""The fleet's part of the page: cards, plots, the table of devices, the evidence on each recipe."""

from fedtailor.protos.certificate import DEPLOYED, ON_TEST, Certificate
from fedtailor.protos.summary import Summary
from fedtailor.protos.variant import FALLBACK
from fedtailor.protos.verdict import PROVEN
from fedtailor.server.report.certified import certified, loss_text
from fedtailor.server.report.figures import DeviceFigures, Figures
from fedtailor.server.report.markup import Child, Markup, tag
from fedtailor.server.report.page_legends import latency_legend, score_legend, verdict_legend
from fedtailor.server.report.page_parts import budget_badge, heading_row, outcome_badge, panel, table_row
from fedtailor.server.report.plot_latency import latency_plot
from fedtailor.server.report.plot_pareto import pareto_plot
from fedtailor.server.report.plot_rounds import round_curves
from fedtailor.server.report.plot_scores import MOST_ROWS, scores_plot
from fedtailor.server.report.wording import (
    UNKNOWN,
    bytes_text,
    counted,
    milliseconds_text,
    ratio_text,
    score_text,
    speed_text,
)
from fedtailor.strategies.certificate import finding

COLUMNS = (
    "device", "class", "plan", "recipe", "base", "personal", "variant", "payload", "smaller", "faster", "verdict",
    "budget", "latency measured", "latency modelled", "memory", "up a round",
)  # fmt: skip
NUMBERS = frozenset({4, 5, 6, 7, 8, 9, 12, 13, 14, 15})
RECIPE_NUMBERS = frozenset(range(1, 7))


def cards(summary: Summary, of: Figures) -> Markup:
    """The headline figures."""
    metric = summary.metric
    budgeted = of.budgets_met + of.budgets_unmet
    proven = of.outcomes[PROVEN]
    met = f"{of.budgets_met} of {budgeted}" if budgeted else UNKNOWN
    entries = (
        (f"{metric} of the variants", score_text(of.variant_score, metric),
         f"personal {score_text(of.personal_score, metric)}, base {score_text(of.base_score, metric)}"),
        ("worst device", score_text(of.worst_variant_score, metric),
         f"personal {score_text(of.worst_personal_score, metric)}, base {score_text(of.worst_base_score, metric)}"),
        ("payload", f"{ratio_text(of.payload_ratio_median)} smaller", "median, against the device's own fp32 model"),
        ("latency", speed_text(of.latency_ratio_median), "median, both measured alternating"),
        ("uplink", f"{ratio_text(of.uplink_ratio)} fewer bytes",
         f"{bytes_text(of.uplink_bytes_per_device_round)} a device and round"),
        ("budgets met", met, f"{counted(proven, 'variant')} proven no worse"),
    )  # fmt: skip
    return tag(
        "dl",
        [
            tag("div", tag("dt", term), tag("dd", value), tag("dd", more, class_="more"), class_="card")
            for term, value, more in entries
        ],
        class_="cards",
    )


def plots(summary: Summary, of: Figures) -> Markup | None:
    """Every plot of the fleet that has something to show."""
    large = f" The {MOST_ROWS} worst of {len(of.devices)} devices." if len(of.devices) > MOST_ROWS else ""
    tight = f" The {MOST_ROWS} tightest of {len(of.devices)} devices." if len(of.devices) > MOST_ROWS else ""
    shown = (
        ("Size against score", "Every artefact that was tried, on validation rows, in ONNX Runtime.",
         pareto_plot(summary), verdict_legend()),
        ("From the shared base to the deployed variant", f"Test rows, touched once; the worst device first.{large}",
         scores_plot(summary, of), score_legend()),
        ("Latency against budget", f"One sample, one thread; modelled for a simulated class, else measured.{tight}",
         latency_plot(of), latency_legend()),
        ("Round by round", "The shared base's mean score on validation rows (a cross: abandoned), and bytes to the "
         "server per device that answered, counted on the wire.", round_curves(summary), None),
    )  # fmt: skip
    panels = [panel(title, note, drawn, legend) for title, note, drawn, legend in shown if drawn]
    return tag("div", panels, class_="plots") if panels else None


def fleet_table(summary: Summary, of: Figures) -> Markup:
    """One row per device, linked to its part of the page."""
    rows = [
        table_row(_cells(device, place, summary.metric), NUMBERS) for place, device in enumerate(of.devices, start=1)
    ]
    table = tag("table", heading_row(COLUMNS, NUMBERS), tag("tbody", rows), tag("tfoot", _overall(summary, of)))
    return tag("div", tag("div", table, class_="scroll tall", tabindex="0"), class_="panel")


def _cells(device: DeviceFigures, place: int, metric: str) -> list[Child]:
    row = device.row
    rung = row.variant.rung if row.variant else None
    cost = rung.efficiency if rung else None
    return [
        tag("a", device.device_id, href=f"#device-{place}"),
        row.hardware.device_class,
        row.plan,
        rung.recipe if rung else UNKNOWN,
        score_text(device.base, metric),
        score_text(device.personal, metric),
        score_text(device.variant, metric),
        bytes_text(cost.payload_bytes) if cost else UNKNOWN,
        ratio_text(device.payload_ratio),
        ratio_text(device.latency_ratio),
        outcome_badge(device.outcome),
        budget_badge(device),
        milliseconds_text(cost.latency_p50_us_measured / 1000) if cost else UNKNOWN,
        milliseconds_text(cost.latency_ms_modelled) if cost else UNKNOWN,
        bytes_text(cost.memory_bytes_measured) if cost else UNKNOWN,
        bytes_text(device.uplink_bytes_per_round),
    ]


def _overall(summary: Summary, of: Figures) -> Markup:
    budgeted = of.budgets_met + of.budgets_unmet
    cells: list[Child] = ["mean, or median ×", counted(len(of.devices), "device"), "", ""]
    cells += [score_text(score, summary.metric) for score in (of.base_score, of.personal_score, of.variant_score)]
    cells += ["", ratio_text(of.payload_ratio_median), ratio_text(of.latency_ratio_median), ""]
    cells += [
        f"{of.budgets_met} of {budgeted} met" if budgeted else UNKNOWN,
        "",
        "",
        "",
        bytes_text(of.uplink_bytes_per_device_round),
    ]
    return table_row(cells, NUMBERS)


def recipe_table(summary: Summary) -> Markup | None:
    """What the fleet's rows say about each recipe, and about the mix of them that runs."""
    found = summary.certificates
    if not found.recipes:
        return None
    columns = (
        "recipe", "tried on", "deployed on", "rows", "drop", "at most, on these", "at most, on devices like these",
        "verdict", "",
    )  # fmt: skip
    mixes = [mix for mix in (found.deployed, found.test) if mix]
    rows = [table_row(_recipe(summary, certificate), RECIPE_NUMBERS) for certificate in (*found.recipes, *mixes)]
    table = tag("table", heading_row(columns, RECIPE_NUMBERS), tag("tbody", rows))
    note = (
        "Rows of all devices that tried a recipe, pooled. A recipe that the gate rejects on them is withdrawn "
        "everywhere, also where one device's own few rows let it through. Devices like these: the bound that devices "
        "drawn anew from these would keep; a recipe is proven by it."
    )
    lines = [tag("p", line, class_="note") for line in certified(summary)]
    return tag("div", tag("p", note, class_="note"), tag("div", table, class_="scroll"), lines, class_="panel")


def _recipe(summary: Summary, certificate: Certificate) -> list[Child]:
    recipe = certificate.recipe
    losses = (certificate.drop, certificate.rows_bound, certificate.bound)
    return [
        recipe,
        counted(certificate.devices, "device"),
        counted(_running(summary, recipe), "device"),
        f"{certificate.rows:,}",
        *(loss_text(summary, certificate, loss) for loss in losses),
        None if recipe == ON_TEST else outcome_badge(finding(certificate)),
        tag("span", "withdrawn", class_="badge bad") if recipe in summary.withdrawn else None,
    ]


def _running(summary: Summary, recipe: str) -> int:
    """Devices that run the recipe; of the mixes, any but the fp32 model."""
    runs = [row.variant.rung.recipe for row in summary.devices if row.variant]
    return len(runs) - runs.count(FALLBACK) if recipe in {DEPLOYED, ON_TEST} else runs.count(recipe)
