import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from small_optimised import optimised, rung

from fedtailor.protos.errors import ConfigError
from fedtailor.simulations.ladder_files import write_files
from fedtailor.simulations.optimised import as_dict

FOUND = optimised(rung("x8", 125), chosen="x8")


def test_every_rung_has_its_model_and_its_payload(tmp_path):
    write_files(FOUND, tmp_path / "new")
    found = {str(path.relative_to(tmp_path / "new")) for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert found == {
        "ladder.json",
        "pareto.svg",
        *(f"{recipe}/{name}" for recipe in ("fp32", "x8") for name in ("model.onnx", "payload.bin")),
    }
    assert (tmp_path / "new" / "x8" / "payload.bin").read_bytes() == b"payload x8"
    assert (tmp_path / "new" / "x8" / "model.onnx").read_bytes() == b"model x8"


def test_the_figures_are_those_of_json_and_the_picture_is_one(tmp_path):
    write_files(FOUND, tmp_path)
    assert json.loads((tmp_path / "ladder.json").read_text()) == json.loads(json.dumps(as_dict(FOUND)))
    assert ElementTree.parse(tmp_path / "pareto.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_the_payload_of_a_whole_model_says_how_it_opens(tmp_path):
    write_files(replace(FOUND, whole=True), tmp_path)
    assert (tmp_path / "fp32" / "model.onnx.gz").read_bytes() == b"payload fp32"


def test_what_another_command_wrote_meanwhile_is_not_written_over(tmp_path):
    write_files(FOUND, tmp_path)
    with pytest.raises(ConfigError, match=r"expected an empty folder that can be written, got: File exists"):
        write_files(FOUND, tmp_path)
