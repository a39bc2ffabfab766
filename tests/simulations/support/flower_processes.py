"""Flower's own programs in a home of their own, on loopback, ended by their ids."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

PROGRAMS = Path(sys.executable).parent
START_S = 30
RUN_S = 240
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(128 * 2**20),
}


class FlowerProcesses:
    """`start` a program that stays, `call` one that ends; leaving the block ends every one that was started."""

    def __init__(self, home: Path):
        self.home = home
        self.port = free_port()
        self.started: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, **QUIET, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
        self.environment |= {"FLWR_HOME": str(home / "flwr"), "RAY_TMPDIR": str(home / "ray")}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        processes = [psutil.Process(each.pid) for each in self.started if each.poll() is None]
        family = [child for process in processes for child in process.children(recursive=True)] + processes
        for process in family:
            try_signal(process.terminate)
        for process in psutil.wait_procs(family, timeout=3)[1]:
            try_signal(process.kill)
        for each in self.started:
            each.wait(10)

    def start(self, program: str, *arguments: object) -> None:
        with (self.home / f"{program}-{len(self.started)}.log").open("wb") as log:
            command = [str(PROGRAMS / program), *map(str, arguments)]
            self.started.append(subprocess.Popen(command, env=self.environment, stdout=log, stderr=log))

    def call(self, *arguments: object) -> str:
        """Standard output of `flwr` with these arguments."""
        command = [str(PROGRAMS / "flwr"), *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=RUN_S, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stdout

    def superlink(self, *arguments: object, connection: str) -> None:
        """Start a SuperLink and make it the default connection of `call`, with these further settings."""
        settings = f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{self.port}"\n{connection}\n'
        (self.home / "flwr").mkdir()
        (self.home / "flwr" / "config.toml").write_text(settings, encoding="utf-8")
        where = ("--host", "127.0.0.1", "--port", self.port, "--disable-runtime-dependency-installation")
        self.start("flower-superlink", *where, *arguments)
        end = time.monotonic() + START_S
        while not listens(self.port):
            assert time.monotonic() < end, self.logs()
            time.sleep(0.1)

    def run(self, app: Path, config: Path, *arguments: object) -> None:
        """Run the app until it has ended; it must have completed."""
        output = self.call("run", app, "--stream", "--run-config", f'config="{config}"', *arguments)
        [run] = json.loads(self.call("ls", "--format", "json"))["runs"]
        assert run["status"] == "finished:completed", f"{output}\n{self.logs()}"

    def logs(self) -> str:
        return "\n".join(f"{path.name}\n{path.read_text(encoding='utf-8')}" for path in self.home.glob("*.log"))


def try_signal(signal_it) -> None:
    with suppress(psutil.NoSuchProcess):
        signal_it()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
