"""The picture: a mark and a name for every method."""

from xml.etree import ElementTree

from fedtailor.simulations.codec_plot import codec_svg
from fedtailor.simulations.codec_rows import Run, method_rows


def run(method, uplink_bytes, seed=0):
    return Run(
        method=method,
        seed=seed,
        metric="accuracy",
        better="higher",
        parameters=1000,
        uplink_bytes=uplink_bytes,
        downlink_bytes=100.0,
        broadcast_bytes=100.0,
        validation_score=0.7,
        test_score=0.7 + seed / 100,
        cpu_s=1.0,
    )


def test_the_picture_is_xml_with_a_mark_and_a_name_for_every_method():
    runs = [run(name, size, seed) for name, size in (("fp32", 4000), ("stc", 40), ("ours", 20)) for seed in (0, 1)]
    picture = ElementTree.fromstring(codec_svg(method_rows(runs)))
    marks = [each.get("class", "").split()[-1] for each in picture.iter() if each.get("class", "").startswith("mark ")]
    assert sorted(marks) == ["proven", "reference", "rejected"]
    words = {each.text for each in picture.iter() if each.text}
    assert {"fp32", "stc", "ours"} <= words


def test_a_picture_of_nothing_is_still_a_picture():
    assert codec_svg([]).startswith("<svg")
