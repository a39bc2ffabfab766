"""A run as one page that needs nothing else: no script, no request, light and dark, on screen and on paper."""

from importlib.resources import files

from fedtailor.protos.summary import Summary
from fedtailor.server.report.claim import claim
from fedtailor.server.report.figures import Figures, figures
from fedtailor.server.report.markup import Markup, join, tag
from fedtailor.server.report.page_device import device_part
from fedtailor.server.report.page_fleet import cards, fleet_table, plots, recipe_table
from fedtailor.server.report.page_parts import problem_list
from fedtailor.server.report.remarks import remarks
from fedtailor.server.report.wording import bytes_text, counted, seconds_text

MOST_OPEN = 3  # devices whose parts stand open


def to_html(summary: Summary) -> str:
    """The page; well-formed as XML too. Every text of the run is escaped."""
    of = figures(summary)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{summary.name}: fedtailor report"),
        tag("style", Markup(files("fedtailor.server.report").joinpath("page.css").read_text(encoding="utf-8"))),
    )
    skip = tag("a", "To the devices", href="#devices", class_="skip")
    body = tag("body", skip, _header(summary, of), _main(summary, of), _footnotes())
    return "<!DOCTYPE html>\n" + tag("html", head, body, lang="en") + "\n"


def _header(summary: Summary, of: Figures) -> Markup:
    facts = (
        f"{counted(len(summary.devices), 'device')}, {counted(len(summary.rounds), 'round')}, {summary.model} "
        f"({bytes_text(summary.base_fp32_bytes)} in fp32), codec {summary.codec}, seed {summary.seed}; "
        f"{seconds_text(summary.seconds)} on {summary.machine}."
    )
    return tag(
        "header",
        tag("h1", f"fedtailor report · {summary.name}"),
        tag("p", claim(summary, of), class_="claim"),
        tag("p", summary.about, class_="facts") if summary.about else None,
        tag("p", facts, class_="facts"),
    )


def _main(summary: Summary, of: Figures) -> Markup:
    recipes = recipe_table(summary)
    return tag(
        "main",
        cards(summary, of),
        _problems(summary),
        tag("h2", "The fleet"),
        plots(summary, of),
        tag("h2", "Every device"),
        fleet_table(summary, of),
        join(tag("h2", "Every recipe, over the fleet"), recipes) if recipes else None,
        tag("h2", "Device by device", id="devices"),
        [
            device_part(summary, device, place, opened=len(of.devices) <= MOST_OPEN)
            for place, device in enumerate(of.devices, start=1)
        ],
    )


def _problems(summary: Summary) -> Markup | None:
    lines = remarks(summary)
    listed = problem_list(lines)
    if listed is None:
        return None
    title = counted(len(lines), "remark")
    return tag("details", tag("summary", tag("h3", title)), tag("div", listed, class_="device-body"), class_="device")


def _footnotes() -> Markup:
    return tag(
        "footer",
        tag(
            "p",
            "Measured: in ONNX Runtime, batch 1, one thread, on the machine named above; energy by the machine's own "
            "counter, where it has one. Modelled: the measured median times the slowdown of a simulated device class, "
            "and energy from multiply-accumulates. Drop: right answers lost against the device's own fp32 model on the "
            "same rows (regression: growth of the mean squared error); at most: its upper confidence bound. Proven no "
            "worse: the bound lies within the margin. Not shown worse: the drop does, the bound does not. Means weigh "
            "every device equally.",
        ),
    )
