"""The page: whole, closed in itself, safe, and there for every shape of run."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from math import nan
from xml.etree import ElementTree as ET

import pytest
from summaries import bare_row, empty_summary, fallback_row, regression_summary, summary_of, watch_summary

from fedtailor.protos.budget import Budget
from fedtailor.server.report.page import to_html
from fedtailor.server.report.page_fleet import recipe_table
from fedtailor.server.report.page_ladder import rung_outcome

HOSTILE = "\"><script>alert('x')</script><img src=https://evil.example/x onerror=alert(1)>&\u0000\ud800"


def hostile_summary():
    row = bare_row(HOSTILE)
    row = replace(
        row,
        plan=HOSTILE,
        problems=(HOSTILE,),
        hardware=replace(row.hardware, device_class=HOSTILE, machine=HOSTILE, isa=(HOSTILE,), providers=(HOSTILE,)),
    )
    kept = fallback_row(HOSTILE)
    kept = replace(kept, variant=replace(kept.variant, reason=HOSTILE, parent=HOSTILE, personal_method=HOSTILE))
    run = replace(watch_summary(devices=1), name=HOSTILE, about=HOSTILE, model=HOSTILE, codec=HOSTILE, machine=HOSTILE)
    return replace(run, devices=(row, kept, *run.devices), withdrawn=(HOSTILE,))


def unfinished_summary():
    """A device without test rows, one whose figures are not numbers, and an abandoned round."""
    whole = watch_summary(devices=3, rounds=3)
    first, second, third = whole.devices
    odd = replace(second.ladder.rungs[0], validation_score=nan, latency_ratio=nan)
    broken = replace(second, ladder=replace(second.ladder, rungs=(odd,)), scores=replace(second.scores, variant=nan))
    lost = replace(whole.rounds[1], committed=False, answered=0, base_validation_score=None, train_loss=None)
    rounds = (whole.rounds[0], lost, whole.rounds[2])
    return replace(whole, devices=(replace(first, scores=None), broken, replace(third, ladder=None)), rounds=rounds)


RUNS = {
    "watch": watch_summary(),
    "one": watch_summary(devices=1, rounds=1),
    "engines": regression_summary(),
    "empty": empty_summary(),
    "silent": replace(watch_summary(), devices=(bare_row(),)),
    "hostile": hostile_summary(),
    "unfinished": unfinished_summary(),
    "large": watch_summary(devices=200, rounds=3),
}


@pytest.fixture(params=RUNS, ids=str, scope="module")
def case(request):
    run = RUNS[request.param]
    return run, to_html(run)


class Loads(HTMLParser):
    """Everything a browser would run or fetch, and every anchor."""

    def __init__(self):
        super().__init__()
        self.tags, self.ids, self.links, self.fetched, self.handlers = set(), [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name == "href":
                self.links.append(value)
            if name in ("src", "srcset", "action", "data", "background", "poster"):
                self.fetched.append(value)
            if name.startswith("on"):
                self.handlers.append(name)


def parsed(page):
    reader = Loads()
    reader.feed(page)
    return reader


def tree(page):
    return ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


def test_the_page_is_well_formed(case):
    _, page = case
    assert tree(page).tag == "html"
    page.encode("utf-8")


def test_nothing_is_fetched_and_nothing_runs(case):
    _, page = case
    reader = parsed(page)
    assert reader.fetched == []
    assert reader.handlers == []
    assert reader.tags.isdisjoint({"script", "img", "iframe", "link", "object", "embed"})
    assert all(link.startswith("#") for link in reader.links)
    assert "url(" not in page
    assert "@import" not in page


def test_every_device_has_an_anchor_and_a_link_to_it(case):
    run, page = case
    reader = parsed(page)
    for place in range(1, len(run.devices) + 1):
        assert f"device-{place}" in reader.ids
        assert f"#device-{place}" in reader.links


def test_links_lead_somewhere_and_ids_are_unique(case):
    _, page = case
    reader = parsed(page)
    assert len(reader.ids) == len(set(reader.ids))
    assert {link[1:] for link in reader.links} <= set(reader.ids)


def test_every_plot_is_named_and_described(case):
    _, page = case
    for svg in tree(page).iter("svg"):
        if svg.get("aria-hidden") == "true":
            continue
        assert svg.get("role") == "img"
        title, description = svg.find("title"), svg.find("desc")
        assert title.text
        assert description.text
        assert svg.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"


def test_no_plot_holds_what_is_not_a_number(case):
    _, page = case
    for element in tree(page).iter():
        for name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "d", "points"):
            assert not re.search("nan|inf", element.get(name, ""))


def test_hostile_names_are_shown_as_text():
    page = to_html(hostile_summary())
    texts = [element.text or "" for element in tree(page).iter("h3")]
    assert any(text.startswith("\"><script>alert('x')</script>") for text in texts)


def test_every_rung_of_every_device_is_listed_with_its_fate():
    run = watch_summary(devices=2)
    text = " ".join(tree(to_html(run)).itertext())
    for row in run.devices:
        for rung in row.ladder.rungs:
            assert rung.recipe in text
            assert rung_outcome(run, row, rung) in text
        assert row.variant.reason in text
        assert row.variant.artifact_sha256 in text


def test_a_rung_says_why_it_runs_or_not():
    run = watch_summary(devices=1)
    row = run.devices[0]
    fates = {rung.recipe: rung_outcome(run, row, rung) for rung in row.ladder.rungs}
    assert fates[row.variant.rung.recipe] == "deployed"
    assert fates["w25-fp32"] == "withdrawn by the fleet's evidence"
    assert rung_outcome(run, row, row.ladder.reference) == "what others are judged against"
    slow = replace(row, variant=None, budget=Budget(latency_ms=1e-6, size_bytes=1))
    assert rung_outcome(run, slow, row.ladder.rungs[0]) == "over budget: latency, size"
    refused = replace(row.ladder.rungs[0], note="conv1 is left in float")
    assert rung_outcome(run, row, refused) == "conv1 is left in float"


def test_budgets_are_marked_met_or_over():
    page = tree(to_html(watch_summary()))
    badges = [element.text for element in page.iter("span") if "badge" in element.get("class", "")]
    assert "met" in badges
    assert "over: latency" in badges


def test_parts_of_few_devices_stand_open_and_of_many_are_folded():
    def opened(devices):
        parts = tree(to_html(watch_summary(devices=devices, rounds=1))).iter("details")
        return [part.get("open") for part in parts if part.find("summary/span") is not None]

    assert opened(2) == ["open"] * 2
    assert opened(12) == [None] * 12


def test_a_recipes_row_counts_the_devices_that_tried_and_deployed_it():
    run = watch_summary()
    verdicts = [rung.verdict for row in run.devices for rung in row.ladder.rungs if rung.recipe == "w50-int8"]
    table = ET.fromstring(str(recipe_table(run)))
    cells = {row[0].text: ["".join(cell.itertext()) for cell in row] for row in table.find(".//tbody")}
    deployed = [row.variant.rung.recipe for row in run.devices].count("w50-int8")
    rows = sum(verdict.rows for verdict in verdicts)
    assert cells["w50-int8"][1:4] == [f"{len(verdicts)} devices", f"{deployed} devices", f"{rows:,}"]
    assert [recipe for recipe, row in cells.items() if row[-1] == "withdrawn"] == ["w25-fp32"]


def test_the_mix_that_runs_stands_below_the_recipes_and_on_test_it_has_no_verdict():
    run = watch_summary()
    table = ET.fromstring(str(recipe_table(run)))
    *recipes, mix, test = [["".join(cell.itertext()) for cell in row] for row in table.find(".//tbody")]
    assert len(recipes) == len(run.devices[0].ladder.rungs)
    assert (mix[0], mix[3]) == ("deployed", f"{run.certificates.deployed.rows:,}")
    assert (test[0], test[3], test[5], test[7]) == ("on test", "3,100", "–", "")
    assert mix[7] in {"proven no worse", "not shown worse", "rejected"}


def test_without_a_ladder_there_is_no_evidence_on_recipes():
    assert recipe_table(summary_of(bare_row())) is None
    assert recipe_table(empty_summary()) is None


def test_problems_stand_in_the_page():
    text = " ".join(tree(to_html(watch_summary())).itertext())
    assert "watch-04: round 7: no answer within 20 s; the update of round 6 counts" in text


def test_the_page_is_light_dark_and_printable():
    page = to_html(empty_summary())
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
