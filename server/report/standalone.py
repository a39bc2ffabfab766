"""A drawing as a file of its own, in the style of the page."""

from importlib.resources import files

from fedtailor.server.report.markup import Child, Markup, tag
from fedtailor.server.report.svg import Frame, drawing

ALONE = ".plot { max-width: none }"  # it has no column of a page to fit into


def standalone(name: str, title: str, description: str, frame: Frame, *children: Child) -> str:
    """An SVG file, on the page's own ground: dark where the reader's screen is."""
    page = Markup(files("fedtailor.server.report").joinpath("page.css").read_text(encoding="utf-8"))
    ground = tag("rect", width="100%", height="100%", style="fill: var(--panel)")
    picture = drawing(name, title, description, frame, tag("style", page, ALONE), ground, *children)
    return picture.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1) + "\n"
