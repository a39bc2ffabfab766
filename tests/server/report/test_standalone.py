from xml.etree import ElementTree

from fedtailor.server.report.markup import tag
from fedtailor.server.report.standalone import standalone
from fedtailor.server.report.svg import Frame

SVG = "{http://www.w3.org/2000/svg}"


def test_the_file_is_whole_by_itself():
    root = ElementTree.fromstring(standalone("dots", "Dots", "two <dots>", Frame(width=90, height=60), tag("circle")))
    assert (root.tag, root.get("viewBox")) == (f"{SVG}svg", "0 0 90 60")
    assert "--ink" in root.find(f"{SVG}style").text
    assert (root.find(f"{SVG}title").text, root.find(f"{SVG}desc").text) == ("Dots", "two <dots>")
    assert [child.tag.removeprefix(SVG) for child in root][-2:] == ["rect", "circle"]
