"""The house keeps its own rules: layers, packaging, names, and what a start may cost."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ROOMS = ("protos", "strategies", "client", "server", "simulations", "cli")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py") if not path.stem.endswith("_pb2"))


def run_python(code: str, folder: Path) -> str:
    """What `code` prints in a new interpreter that starts in `folder`."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def lint_imports(*paths: Path) -> subprocess.CompletedProcess[str]:
    """Run the project's import contracts, with `paths` ahead of the installed rooms."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", ROOT / "pyproject.toml"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def imported_names(path: Path) -> set[str]:
    """Top-level names of everything a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def declared(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def test_the_layers_hold():
    done = lint_imports()
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("strategies", "import fedtailor.client"),
        ("client", "import fedtailor.server"),
        ("server", "import fedtailor.simulations"),
        ("protos", "import torch"),
        ("strategies", "import flwr.common"),
    ],
)
def test_a_forbidden_import_breaks_the_layers(tmp_path, room, line):
    for each in ROOMS:
        shutil.copytree(ROOT / each, tmp_path / "fedtailor" / each, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "fedtailor" / room / "intruder.py").write_text(f"{line}\n", encoding="utf-8")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert f"fedtailor.{room}.intruder -> {line.split()[1].split('.')[0]}" in done.stdout


def test_fedtailor_is_a_namespace_that_every_room_joins(tmp_path):
    assert not (ROOT / "__init__.py").exists()
    assert run_python("import fedtailor; print(fedtailor.__file__)", tmp_path) == "None"
    assert all((ROOT / room / "__init__.py").is_file() and (ROOT / room / "py.typed").is_file() for room in ROOMS)


@pytest.mark.parametrize("name", ROOMS)
def test_nothing_is_installed_at_top_level_under_a_rooms_name(tmp_path, name):
    code = f"import importlib.util; print(importlib.util.find_spec({name!r}))"
    assert run_python(code, tmp_path) == "None"


def test_every_package_folder_is_packaged():
    folders = {path.parent for path in MODULES if "flower-app" not in path.parts}  # an app for flwr, not a package
    packages = {"fedtailor." + ".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages
    assert all((folder / "__init__.py").is_file() for folder in folders)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_every_import_is_a_declared_dependency():
    project = PROJECT["project"]
    wanted = declared(project["dependencies"])
    for extra in ("demo", "ray", "postgres"):
        wanted |= declared(project["optional-dependencies"][extra])
    providers = packages_distributions()
    for path in MODULES:
        for name in imported_names(path) - sys.stdlib_module_names - {"fedtailor", "fedtailor_app"}:
            found = {canonicalize_name(dist) for dist in providers.get(name, [name])}
            assert found & wanted, f"{path.relative_to(ROOT)} imports {name}, which pyproject.toml does not declare"


def test_constraints_pin_every_dependency_exactly():
    project = PROJECT["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(len(pin.specifier) == 1 and next(iter(pin.specifier)).operator == "==" for pin in pins)
    versions = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    for line in sum(project["optional-dependencies"].values(), project["dependencies"]):
        wanted = Requirement(line)
        assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), line


@pytest.mark.parametrize("module", ["fedtailor.client.app", "fedtailor.cli.main"])
def test_what_starts_often_starts_without_the_heavy_libraries(tmp_path, module):
    heavy = ("torch", "onnx", "onnxruntime", "scipy", "ray", "psycopg", "seglearn")
    assert (
        run_python(f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])", tmp_path) == "[]"
    )
