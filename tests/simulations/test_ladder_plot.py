from xml.etree import ElementTree

import pytest
from small_optimised import optimised, rung

from fedtailor.protos.budget import Budget
from fedtailor.simulations.ladder_plot import ladder_svg

RUNGS = (rung("int8", 250), rung("x8", 125, lost=1), rung("x40", 25, lost=9))


def drawn(found):
    """Elements by class, and every text."""
    root = ElementTree.fromstring(ladder_svg(found))
    classes = [set(element.get("class", "").split()) for element in root.iter()]
    return classes, [element.text for element in root.iter() if element.tag.endswith("}text")]


def count(classes, *names):
    return sum(set(names) <= found for found in classes)


def test_each_rung_is_named_and_marked_in_each_panel_beside_the_legend():
    classes, texts = drawn(optimised(*RUNGS, chosen="x8"))
    assert all(texts.count(recipe) == 2 for recipe in ("fp32", "int8", "x8", "x40"))
    assert count(classes, "mark", "reference") == 2 + 1
    assert count(classes, "mark", "not-shown-worse") + count(classes, "mark", "rejected") == 2 * 3 + 2
    assert count(classes, "mark", "deployed") == 2 + 1
    assert count(classes, "span") == 2 * 4


def test_the_reference_is_ringed_where_it_runs():
    assert count(drawn(optimised(*RUNGS))[0], "mark", "deployed") == 2 + 1


@pytest.mark.parametrize(
    ("budget", "limits", "titles"),
    [
        (Budget(), 0, ["payload", "latency of one sample, p50"]),
        (Budget(latency_ms=1.0), 1, ["payload", "latency of one sample, p50"]),
        (Budget(size_bytes=300, peak_ram_bytes=900), 2, ["payload", "latency of one sample, p50", "file", "memory"]),
        (Budget(energy_mj=1.0), 0, ["payload", "latency of one sample, p50"]),  # nobody measured any
    ],
)
def test_a_limit_of_the_budget_is_a_line_in_a_panel_of_its_own_cost(budget, limits, titles):
    classes, texts = drawn(optimised(*RUNGS, budget=budget))
    assert count(classes, "limit") == limits + (limits > 0)  # one in the legend
    assert [text.removesuffix(" (logarithmic)") for text in texts if text.endswith("(logarithmic)")] == titles


def test_without_test_rows_validation_scores_are_drawn_and_it_says_so():
    classes, texts = drawn(optimised(*RUNGS, test_rows=0))
    assert count(classes, "span") == 0
    assert "accuracy on validation rows; higher is better" in texts
