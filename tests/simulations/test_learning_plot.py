"""The picture: a disc, a diamond and a ring for every method, where there is something to show."""

from dataclasses import replace
from xml.etree import ElementTree

from fedtailor.simulations.learning_plot import learning_svg
from fedtailor.simulations.learning_rows import Run, learning_rows


def row(method, *, unseen=0.5):
    run = Run(
        method=method,
        seed=0,
        metric="rmse",
        better="lower",
        scores={"a": 20.0, "b": 24.0},
        rows={"a": 1, "b": 1, "n": 1},
        finals={},
        unseen={} if unseen is None else {"n": unseen},
        newcomers={},
        uplink_bytes=1.0,
        downlink_bytes=1.0,
        cpu_s=1.0,
    )
    return learning_rows([run])[0]


def marks(picture):
    classes = [each.get("class", "") for each in ElementTree.fromstring(picture).iter()]
    return [words.split()[1] for words in classes if words.startswith("score ")]


def test_every_method_has_its_name_and_its_marks():
    picture = learning_svg([row("ours", unseen=22.0), row("Local", unseen=None)])
    assert sorted(marks(picture)) == ["base", "personal", "personal", "variant", "variant"]
    words = {each.text for each in ElementTree.fromstring(picture).iter() if each.text}
    assert {"ours", "Local"} <= words
    assert any("lower is better" in text for text in words)


def test_a_method_without_scores_has_its_name_alone():
    bare = replace(row("Local", unseen=None), mean=None, spread=None, worst_decile=None, worst_decile_spread=None)
    assert marks(learning_svg([bare, row("ours", unseen=None)])) == ["variant", "personal"]


def test_a_picture_of_nothing_is_still_a_picture():
    assert learning_svg([]).startswith("<svg")
