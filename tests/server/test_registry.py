import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from scripted import profile
from sqlalchemy import func, select, text

from fedtailor.protos.checkpoint import Checkpoint
from fedtailor.protos.errors import MissingExtra, RegistryError
from fedtailor.protos.summary import RoundRow
from fedtailor.server import database
from fedtailor.server.problem import Problem
from fedtailor.server.records import save_profile
from fedtailor.server.registry import VARIANT, open_registry
from fedtailor.server.rows import SCHEMA_VERSION, ArtifactRow, ProblemRow, RoundEntry, RunRow, UpdateRow

POSTGRES = "FEDTAILOR_TEST_POSTGRES"


def a_round(number, **changes):
    figures = {
        "base_version": number - 1,
        "committed": True,
        "asked": 2,
        "answered": 2,
        "base_validation_score": 0.5,
        "train_loss": 1.0,
        "uplink_bytes": 100,
        "downlink_bytes": 2**40,
        "seconds": 0.1,
    }
    return RoundRow(round=number, **{**figures, **changes})


def a_base(number):
    values = np.full(1000, number, np.int32).tobytes()
    return Checkpoint(
        base_version=number, base_hash="", public_steps=values, private_values=values, hop=None, difference=b""
    )


def an_update(device_id, number):
    return UpdateRow(
        device_id=device_id,
        round=number,
        base_version=number - 1,
        num_examples=5,
        base_validation_score=None,
        train_loss=None,
        train_cpu_s=None,
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    """A run folder and a registry URL, the latter emptied before and after."""
    if request.param == "sqlite":
        yield tmp_path, None
        return
    url = os.environ.get(POSTGRES)
    if not url:
        pytest.skip(f"{POSTGRES} is not set: give the URL of an empty PostgreSQL database")
    _empty(tmp_path, url)
    yield tmp_path, url
    _empty(tmp_path, url)


def _empty(folder, url):
    engine = database.connect(folder, url, create=True)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()


def fill(registry, rounds=3):
    with registry.transaction() as session:
        save_profile(session, profile("a"))
    for number in range(1, rounds + 1):
        registry.commit_round(a_round(number), a_base(number), updates=[an_update("a", number)])


def test_the_last_committed_round_comes_back_after_reopening(place):
    with open_registry(*place) as registry:
        assert registry.last_committed() is None
        fill(registry)
        registry.commit_round(a_round(4, committed=False), None, problems=[Problem("a", "no answer")])
    with open_registry(*place) as registry:
        assert registry.last_committed() == (3, a_base(3))
        assert registry.check() == ()
        with registry.transaction() as session:
            assert session.get_one(RoundEntry, 4).base_sha256 is None
            assert session.get_one(RoundEntry, 3).downlink_bytes == 2**40
            assert session.scalars(select(ProblemRow.line)).all() == ["no answer"]


def test_a_round_that_fails_halfway_leaves_nothing(place):
    with open_registry(*place) as registry:
        fill(registry, 1)
        with pytest.raises(RegistryError, match="cannot be used"):
            registry.commit_round(a_round(2), a_base(2), updates=[an_update("stranger", 2)])
        assert registry.last_committed() == (1, a_base(1))
        with registry.transaction() as session:
            assert session.get(RoundEntry, 2) is None
        registry.commit_round(a_round(2), a_base(2), updates=[an_update("a", 2)])
        assert registry.last_committed() == (2, a_base(2))


def test_a_round_is_recorded_once(place):
    with open_registry(*place) as registry:
        fill(registry, 1)
        with pytest.raises(RegistryError, match="round 1 is recorded already"):
            registry.commit_round(a_round(1), a_base(9))
        assert registry.last_committed() == (1, a_base(1))


def test_an_update_counts_once_per_device_round_and_base(place):
    with open_registry(*place) as registry:
        fill(registry, 1)
        with pytest.raises(RegistryError, match="recorded before"), registry.transaction() as session:
            session.add(an_update("a", 1))
        with registry.transaction() as session:
            assert session.scalars(select(func.count()).select_from(UpdateRow)).one() == 1


def test_equal_content_is_one_artefact(place):
    with open_registry(*place) as registry:
        for _ in range(2):
            with registry.transaction() as session:
                name = registry.put_artifact(session, b"payload", VARIANT)
        with registry.transaction() as session:
            assert session.get_one(ArtifactRow, name).size_bytes == 7
            assert session.scalars(select(func.count()).select_from(ArtifactRow)).one() == 1


def test_another_schema_version_is_refused(place):
    with open_registry(*place) as registry, registry.transaction() as session:
        session.add(
            RunRow(
                key=1,
                schema_version=99,
                name="",
                about="",
                machine="",
                job_json="{}",
                spec=b"",
                parameters=1,
                seconds=0.0,
            )
        )
    with pytest.raises(RegistryError, match=f"schema version 99, expected {SCHEMA_VERSION}"):
        open_registry(*place)


def test_a_folder_without_a_run_is_refused_and_stays_as_it_was(tmp_path):
    with pytest.raises(RegistryError, match=r"registry\.sqlite: not there; name the folder that a run wrote"):
        open_registry(tmp_path, create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0.0, 0.02, 0.3, 0.6])
def test_a_truncated_database_is_one_line_that_says_what_to_do(tmp_path, keep):
    with open_registry(tmp_path) as registry:
        fill(registry)
    path = tmp_path / "registry.sqlite"
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(RegistryError, match=r"registry\.sqlite.*restore it from a backup") as error:
        open_registry(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("lost_bytes", [1, 100, 3000, 5000])
def test_a_database_that_lost_its_end_is_refused_or_has_lost_nothing(tmp_path, lost_bytes):
    with open_registry(tmp_path) as registry:
        fill(registry)
    path = tmp_path / "registry.sqlite"
    os.truncate(path, path.stat().st_size - lost_bytes)
    assert _refusal(tmp_path) or _all_three_rounds(tmp_path)


def _refusal(folder):
    try:
        open_registry(folder).close()
    except RegistryError as error:
        return "restore it from a backup" in str(error)
    return False


def _all_three_rounds(folder):
    with open_registry(folder) as registry:
        return registry.last_committed() == (3, a_base(3)) and registry.check() == ()


def test_a_file_that_is_no_database_is_one_line(tmp_path):
    (tmp_path / "registry.sqlite").write_bytes(b"once upon a time " * 1000)
    with pytest.raises(RegistryError, match=r"not a database.*restore it from a backup"):
        open_registry(tmp_path)


def test_a_missing_or_damaged_base_is_named_and_nothing_else_is_lost(tmp_path):
    with open_registry(tmp_path) as registry:
        fill(registry)
        with registry.transaction() as session:
            sha256 = session.get_one(RoundEntry, 3).base_sha256
        path = registry.artifacts.path(sha256)
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        with pytest.raises(RegistryError, match=f"{sha256}: damaged, its SHA-256 is"):
            registry.last_committed()
        path.unlink()
        with pytest.raises(RegistryError, match=f"{sha256}: cannot be read .*restore it from a backup"):
            registry.last_committed()
        assert len(registry.check()) == 2
        assert sha256 in registry.check()[0]


def test_a_full_disk_is_one_line_and_the_round_before_stays(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with open_registry(tmp_path) as registry:
        fill(registry, 1)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(RegistryError, match=r"No space left on device.*free some space and resume the run"):
                registry.commit_round(a_round(2), a_base(2))
        assert registry.last_committed() == (1, a_base(1))
        assert not list((tmp_path / "artifacts").rglob("*.tmp"))


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match="cannot be opened"):
        open_registry(tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("postgresql://u:secret@127.0.0.1:1/db", "start the database server and check host, port"),
        ("mysql://h/db", r"expected postgresql://…, got mysql://…"),
        ("what", "expected postgresql://user:password@host/database"),
    ],
)
def test_a_database_that_cannot_be_reached_is_one_line_without_the_password(tmp_path, url, line):
    pytest.importorskip("psycopg", reason="fedtailor[postgres] is not installed")
    with pytest.raises(RegistryError, match=line) as error:
        open_registry(tmp_path, url)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_without_its_driver_postgresql_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=re.escape("fedtailor[postgres]")):
        open_registry(tmp_path, "postgresql://localhost/db")


WRITER = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from test_registry import a_base, a_round, an_update, open_registry, save_profile, profile
with open_registry(Path({folder!r})) as registry:
    last = registry.last_committed()
    if last is None:
        with registry.transaction() as session:
            save_profile(session, profile("a"))
    number = last[0] if last else 0
    while True:
        number += 1
        registry.commit_round(a_round(number), a_base(number), updates=[an_update("a", number)])
        print(number, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_the_last_committed_round_whole(tmp_path):
    here = os.path.dirname(__file__)
    code = WRITER.format(path=[here, os.path.join(here, "support")], folder=str(tmp_path))
    said = 0
    for attempt in range(4):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as writer:
            said = int(writer.stdout.readline())
            time.sleep(0.003 * attempt)
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout.read().split():
                said = int(line)
        with open_registry(tmp_path) as registry:
            number, base = registry.last_committed()
            assert number >= said
            assert base == a_base(number)
            assert registry.check() == ()
            with registry.transaction() as session:
                merged = session.scalars(select(UpdateRow.round).order_by(UpdateRow.round)).all()
        assert merged == list(range(1, number + 1))
