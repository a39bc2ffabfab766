"""The README tells the truth: its commands are known and tested, and nothing a user can type is missing from it."""

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
import typer.main

from fedtailor.cli.main import app
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.simulations.fleet import load_fleet
from fedtailor.simulations.user_model import check_answers, known_model
from fedtailor.strategies.graph.trace import trace
from fedtailor.strategies.models.model import MODELS, build

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXTRAS = ("demo", "bench", "ray", "postgres", "test")


def code_lines() -> Iterator[str]:
    """Each command of the README's sh and bash blocks, continued lines joined, comments and prompts left out."""
    for block in re.findall(r"^```(?:sh|bash)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.sub(r"(^|\s)#.*", "", line.removeprefix("$ "))
            if command.strip():
                yield " ".join(command.split())


def options_of(command: click.Command) -> set[str]:
    """Every option a user can type after a command, in its long form."""
    shown = [parameter for parameter in command.params if isinstance(parameter, click.Option) and not parameter.hidden]
    return {"--help"} | {name for option in shown for name in option.opts if name.startswith("--")}


def commands_of(group: click.Command, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command a user can type by its words, those of groups included."""
    assert isinstance(group, click.Group)
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


ROOT_COMMAND = typer.main.get_command(app)
COMMANDS = dict(commands_of(ROOT_COMMAND))


def is_a_make_target(words: list[str]) -> None:
    """CI runs `make demo` and `make test` word for word; the others call what CI calls."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in words[1:]:
        assert re.search(rf"^(\w+ )*{re.escape(target)}( \w+)*:", makefile, flags=re.MULTILINE), target


def is_a_fedtailor_call(words: list[str]) -> None:
    """tests/cli runs each command; here its name and every option must exist."""
    named = next((name for name in (" ".join(words[1:3]), *words[1:2]) if name in COMMANDS), "")
    command = COMMANDS.get(named, ROOT_COMMAND)
    assert named or len(words) == 1 or words[1].startswith("-"), words
    typed = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert typed <= options_of(command), typed - options_of(command)


def names_known_extras(words: list[str]) -> None:
    """CI installs the wheel with every extra; here the extras named must be ours."""
    for extras in re.findall(r"\[([\w,-]+)\]", " ".join(words)):
        assert set(extras.split(",")) <= set(EXTRAS), extras


def is_typed_by_three_ways(words: list[str]) -> None:
    """The end-to-end test of Flower's engines runs these programs; every option shown is one it gives them."""
    files = ("test_three_ways.py", "support/flower_processes.py")
    run = "".join((ROOT / "tests" / "simulations" / name).read_text(encoding="utf-8") for name in files)
    missing = [word for word in words if word.startswith("--") and f'"{word}"' not in run]
    assert not missing, missing


# How each command of the README is tested: by what holds for any arguments, or by the test that runs this very line.
BY_PROGRAM: dict[str, Callable[[list[str]], None]] = {
    "make": is_a_make_target,
    "fedtailor": is_a_fedtailor_call,
    "pip install": names_known_extras,
    "flwr": is_typed_by_three_ways,
    "flower-superlink": is_typed_by_three_ways,
    "flower-supernode": is_typed_by_three_ways,
}
BY_LINE: dict[str, str] = {}


def test_the_first_two_commands_are_the_demo_and_the_tests_as_ci_runs_them():
    assert list(code_lines())[:2] == ["make demo", "make test"]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(re.search(rf"^(\w+=.* )?{line}$", ci, flags=re.MULTILINE) for line in ("make demo", "make test"))


@pytest.mark.parametrize("line", sorted(set(code_lines())))
def test_every_command_in_the_readme_is_known(line):
    if line in BY_LINE:
        path, name = BY_LINE[line].split("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), BY_LINE[line]
        return
    checks = [check for program, check in BY_PROGRAM.items() if f"{line} ".startswith(f"{program} ")]
    assert checks, f"README: {line!r} is in no table of tests/test_readme.py; say there how it is tested"
    for check in checks:
        check(shlex.split(line))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_in_the_readme(name):
    assert f"fedtailor {name}" in README


@pytest.mark.parametrize(
    ("name", "option"),
    sorted(
        (name, option)
        for name, command in {"": ROOT_COMMAND, **COMMANDS}.items()
        for option in options_of(command) - {"--help"}
    ),
)
def test_every_option_is_in_the_readme(name, option):
    assert re.search(rf"{re.escape(option)}(?![\w-])", README), f"fedtailor {name} {option}"


def test_the_fleet_file_in_the_readme_is_read_as_shown(tmp_path):
    (shown,) = re.findall(r"^```toml\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "fleet.toml").write_text(shown, encoding="utf-8")
    (tmp_path / "shops.npz").write_bytes(b"")
    fleet = load_fleet(tmp_path / "fleet.toml")
    assert (fleet.devices, fleet.dropout, fleet.job.rounds, fleet.job.codec.name) == (24, 0.1, 60, "uniform")
    assert [(recipe.name, recipe.speed, recipe.student) for recipe in fleet.job.recipes] == [
        ("small", 2, 1),
        ("student", 1, 0.1),
    ]
    assert [member.budget.latency_ms for member in fleet.members] == [5.0]


def test_every_extra_is_in_the_readme():
    assert all(re.search(rf"(`{extra}`|\[([\w-]+,)*{extra}[\],])", README) for extra in EXTRAS)


def test_the_model_in_the_readme_can_be_tailored_as_shown(tmp_path, monkeypatch):
    (shown,) = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "own.py").write_text(shown, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    name = known_model("own:wrist")
    monkeypatch.delitem(sys.modules, "own")
    try:
        spec = ModelSpec(
            name=name, version=1, kind="classification", input_shape=(100, 6), outputs=7,
            feature_means=(0.0,) * 6, feature_scales=(1.0,) * 6,
        )  # fmt: skip
        module = build(spec)
        check_answers(module, spec)
        assert {type(layer).__name__ for layer in trace(module, spec).layers} >= {"Conv", "Linear"}
    finally:
        del MODELS[name]
