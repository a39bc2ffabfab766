"""Markup is escaped by construction."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.server.report.markup import Markup, join, tag

HOSTILE = st.text(alphabet=st.characters(codec=None), max_size=40)


@given(text=HOSTILE, value=HOSTILE)
def test_any_text_makes_a_well_formed_element_with_one_child_text(text, value):
    element = ET.fromstring(tag("p", text, title=value))
    assert element.tag == "p"
    assert len(element) == 0
    assert set(element.attrib) == {"title"}


@given(text=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_printable_text_comes_back_as_it_was(text):
    element = ET.fromstring(tag("p", text, title=text))
    assert (element.text or "") == text
    assert element.get("title") == text


def test_markup_is_not_escaped_again():
    assert tag("p", tag("b", "a & b")) == "<p><b>a &amp; b</b></p>"


@pytest.mark.parametrize("absent", [None, False])
def test_an_attribute_that_is_absent_is_not_written(absent):
    assert tag("p", class_=absent) == "<p></p>"


def test_names_of_attributes_follow_html():
    assert tag("p", class_="x", aria_label="y", hidden=True) == '<p class="x" aria-label="y" hidden="hidden"></p>'


def test_void_elements_close_themselves_unless_they_hold_something():
    assert tag("circle", r=2.5) == '<circle r="2.5"/>'
    assert tag("circle", tag("title", "t")) == "<circle><title>t</title></circle>"


def test_children_may_be_nested_and_missing():
    assert join("a", None, ["b", (Markup("<i/>"), None)]) == "ab<i/>"
