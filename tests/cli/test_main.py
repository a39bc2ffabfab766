"""Exit codes and the one line a fault is told in."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fedtailor.cli.main import main
from fedtailor.protos.errors import DataError

COMMAND = Path(sys.executable).with_name("fedtailor")


def ended(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["fedtailor", *arguments])
    with pytest.raises(SystemExit) as ending:
        main()
    return ending.value.code


def failing(error):
    def run(*_):
        raise error

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ("nope",),
        ("simulate", "--rounds", "0"),
        ("simulate", "--devices", "many"),
        ("simulate", "--sed", "1"),
        ("report",),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(monkeypatch, capsys, arguments):
    assert ended(monkeypatch, *arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("fedtailor: ")
    assert said.err.count("\n") == 1


def test_a_fault_of_the_input_is_one_line_and_exit_code_2(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(
        "fedtailor.simulations.simulate.simulate", failing(DataError("fleet.npz: key 'y' is missing;\nadd it"))
    )
    assert ended(monkeypatch, "simulate", "--out", str(tmp_path / "run")) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "fedtailor: fleet.npz: key 'y' is missing; add it\n"


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch, tmp_path):
    monkeypatch.setattr("fedtailor.simulations.simulate.simulate", failing(ZeroDivisionError("ours")))
    monkeypatch.setattr(sys, "argv", ["fedtailor", "simulate", "--out", str(tmp_path / "run")])
    with pytest.raises(ZeroDivisionError, match="ours"):
        main()


def test_an_interrupt_stops_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("fedtailor.simulations.simulate.simulate", failing(KeyboardInterrupt()))
    assert ended(monkeypatch, "simulate", "--out", str(tmp_path / "run")) == 130
    assert capsys.readouterr().err.strip() == "fedtailor: stopped"


def test_a_service_manager_stops_it_in_one_line_too(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("fedtailor.simulations.simulate.simulate", lambda *_: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert ended(monkeypatch, "simulate", "--out", str(tmp_path / "run")) == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err.strip() == "fedtailor: stopped"


def test_without_arguments_the_help_is_shown_and_the_code_is_2(monkeypatch, capsys):
    assert ended(monkeypatch) == 2
    assert "simulate" in capsys.readouterr().out


def test_the_installed_command_prints_its_version():
    done = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("fedtailor 0.")
    assert done.stderr == ""


def test_the_installed_command_fails_in_one_line():
    done = subprocess.run([COMMAND, "simulate", "missing.npz"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("fedtailor: ")
    assert "missing.npz" in done.stderr


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['fedtailor', '--help']\n"
        "from fedtailor.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'onnxruntime', 'flwr', 'sqlalchemy', 'numpy', 'ray'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
