import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_nets import SPECS

from fedtailor.protos.errors import ConfigError
from fedtailor.simulations.user_model import check_answers, known_model, load_weights, user_part
from fedtailor.strategies.models.model import MODELS, build

SOURCE = """
from torch import nn

def tiny(spec):
    return nn.Sequential(nn.Flatten(), nn.Linear(spec.input_shape[0], spec.outputs))

def normed(spec):
    return nn.Sequential(nn.Linear(spec.input_shape[0], 4), nn.BatchNorm1d(4), nn.Linear(4, spec.outputs))

def odd(spec):
    return 3

def broken(spec):
    raise RuntimeError("out of\\nluck")

def many(spec):
    return nn.Linear(spec.input_shape[0], spec.outputs + 1)

def other(spec):
    return nn.Linear(spec.input_shape[0] + 1, spec.outputs)

class Pair(nn.Module):
    def forward(self, x):
        return x, x

def pair(spec):
    return Pair()

number = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine_of_a_test.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    yield "mine_of_a_test"
    sys.modules.pop("mine_of_a_test", None)
    for name in [name for name in MODELS if ":" in name]:
        del MODELS[name]


def spec_of(name):
    return replace(SPECS["mlp"], name=name)


def own(name):
    return user_part(build(spec_of(known_model(name))))


def test_a_built_in_model_is_known_by_its_name_and_is_nobodys_own():
    assert known_model("mlp") == "mlp"
    assert user_part(build(spec_of("mlp"))) is None


def test_a_function_is_imported_from_the_working_folder_and_built_behind_the_standardisation(mine):
    spec = spec_of(known_model(f"{mine}:tiny"))
    x = torch.randn(3, 11)
    whole = build(spec)
    means, scales = (torch.tensor(values, dtype=torch.float32) for values in (spec.feature_means, spec.feature_scales))
    torch.testing.assert_close(whole(x), user_part(whole)((x - means) / scales))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("mpl", "expected one of .*mlp.*got 'mpl'"),
        ("nowhere_at_all:f", "got ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("mine_of_a_test:absent", "AttributeError: .*absent"),
        ("mine_of_a_test:number", "expected a function, got a int"),
        ("falls_over:f", "got ZeroDivisionError: division by zero"),
        ("half_written:f", "got SyntaxError"),
    ],
)
def test_what_cannot_be_imported_is_one_line(mine, tmp_path, name, line):
    (tmp_path / "falls_over.py").write_text("1 / 0")
    (tmp_path / "half_written.py").write_text("def f(")
    with pytest.raises(ConfigError, match=line) as error:
        known_model(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "line"),
    [("odd", r"expected a torch\.nn\.Module from it, got a int"), ("broken", "got RuntimeError: out of luck")],
)
def test_a_function_must_give_a_module(mine, name, line):
    with pytest.raises(ConfigError, match=line):
        build(spec_of(known_model(f"{mine}:{name}")))


@pytest.mark.parametrize(
    ("name", "got"),
    [("many", r"got \[2, 5\]"), ("other", "got RuntimeError: mat1 and mat2"), ("pair", "got tuple")],
)
def test_a_module_that_does_not_fit_the_data_is_told_what_it_was_given(mine, name, got):
    spec = spec_of(known_model(f"{mine}:{name}"))
    with pytest.raises(ConfigError, match=rf"expected answers of shape \[2, 4\] to rows of shape \[2, 11\], {got}"):
        check_answers(build(spec), spec)


@pytest.mark.parametrize("name", SPECS)
def test_every_built_in_model_answers_what_its_task_needs(name):
    check_answers(build(SPECS[name]), SPECS[name])


@pytest.mark.parametrize("form", ["pt", "npz"])
def test_weights_come_from_either_form_of_file(mine, tmp_path, form):
    trained, path = own(f"{mine}:normed"), tmp_path / f"w.{form}"
    if form == "pt":
        torch.save(trained.state_dict(), path)
    else:
        np.savez(path, **{name: value.numpy() for name, value in trained.state_dict().items()})
    fresh = own(f"{mine}:normed")
    load_weights(fresh, path)
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in fresh.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"nothing like it", b"PK\x03\x04 cut short"])
@pytest.mark.parametrize("name", ["w.pt", "w.npz"])
def test_a_file_that_holds_no_weights_is_one_line(mine, tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        ConfigError, match=rf"{name}: expected arrays in a \.npz file, or what torch.save wrote, got "
    ) as error:
        load_weights(own(f"{mine}:tiny"), tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(mine, tmp_path):
    with pytest.raises(ConfigError, match=r"w\.pt: expected a file, got: No such file or directory"):
        load_weights(own(f"{mine}:tiny"), tmp_path / "w.pt")


def test_pickled_code_is_not_run(mine, tmp_path):
    torch.save(own(f"{mine}:tiny"), tmp_path / "w.pt")
    with pytest.raises(ConfigError, match="got UnpicklingError"):
        load_weights(own(f"{mine}:tiny"), tmp_path / "w.pt")


def test_weights_of_another_model_are_refused(mine, tmp_path):
    torch.save(own(f"{mine}:normed").state_dict(), tmp_path / "w.pt")
    with pytest.raises(ConfigError, match=r"expected a state dict of this model, got .*1\.weight"):
        load_weights(own(f"{mine}:tiny"), tmp_path / "w.pt")
