import errno
import hashlib
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.client.store import DeviceStore, folder_name
from fedtailor.protos.errors import StoreError

HEADER_BYTES = 46

WRITER = """
import sys
from pathlib import Path
from fedtailor.client.store import DeviceStore

store, marks = DeviceStore(Path(sys.argv[1])), sys.argv[2].encode()
turn = 0
while True:
    store.put("state", marks[turn % len(marks) : turn % len(marks) + 1] * 300_000)
    print(turn, flush=True)
    turn += 1
"""


@pytest.fixture
def store(tmp_path):
    return DeviceStore(tmp_path / "store")


def value_file(store, name="state"):
    return store.folder / "values" / name


def names_in(store):
    return sorted(path.name for path in store.folder.rglob("*") if path.is_file())


@given(data=st.binary(max_size=2000))
def test_what_is_put_is_got(tmp_path_factory, data):
    store = DeviceStore(tmp_path_factory.mktemp("store"))
    store.put("state", data)
    assert store.get("state") == data
    assert store.get_artifact(store.put_artifact(data)) == data


def test_a_value_nobody_put_is_none_and_deleting_it_is_nothing(store):
    assert store.get("state") is None
    store.delete("state")


def test_a_deleted_value_is_gone(store):
    store.put("state", b"x")
    store.delete("state")
    assert store.get("state") is None


def test_a_second_store_on_the_folder_sees_the_values(store):
    store.put("state", b"kept")
    assert DeviceStore(store.folder).get("state") == b"kept"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "A", "ä", "-a", "a b", "a\n", "x" * 101])
def test_a_name_that_could_leave_the_folder_or_collide_is_refused(store, name):
    with pytest.raises(ValueError, match="a name is 1 to 100"):
        store.put(name, b"")


def test_every_truncation_is_named(store):
    store.put("state", b"0123456789")
    whole = value_file(store).read_bytes()
    for length in range(len(whole)):
        value_file(store).write_bytes(whole[:length])
        with pytest.raises(StoreError, match=r"values/state: expected .* bytes.*, got \d+; delete it"):
            store.get("state")


def test_every_flipped_bit_is_found(store):
    store.put("state", b"0123456789")
    whole = value_file(store).read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        value_file(store).write_bytes(damaged)
        with pytest.raises(StoreError, match=r"values/state: expected .*, got "):
            store.get("state")


def test_a_damaged_value_can_be_put_again(store):
    store.put("state", b"old")
    value_file(store).write_bytes(b"")
    store.put("state", b"new")
    assert store.get("state") == b"new"


def test_a_later_format_is_left_alone(store):
    store.put("state", b"old")
    content = bytearray(value_file(store).read_bytes())
    content[4] = 2
    value_file(store).write_bytes(content)
    with pytest.raises(StoreError, match="expected format version 1, got 2; use the fedtailor that wrote it"):
        store.get("state")


def test_an_artefact_is_named_by_its_content_and_kept_once(store):
    sha = store.put_artifact(b"model")
    assert sha == hashlib.sha256(b"model").hexdigest() == store.put_artifact(b"model")
    assert names_in(store) == [sha]


def test_a_damaged_artefact_is_named_and_mended_by_putting_it_again(store):
    sha = store.put_artifact(b"model")
    (store.folder / "artifacts" / sha).write_bytes(b"modem")
    with pytest.raises(StoreError, match=f"{sha}: expected content with sha256 {sha[:12]}"):
        store.get_artifact(sha)
    store.put_artifact(b"model")
    assert store.get_artifact(sha) == b"model"


def test_a_missing_artefact_says_what_to_do(store):
    with pytest.raises(StoreError, match="found no file; tailor this device again"):
        store.get_artifact("0" * 64)


@pytest.mark.parametrize("sha", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_an_artefact_name_that_is_no_hash_is_refused(store, sha):
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        store.get_artifact(sha)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_simulated_by_a_failing_system_call_keeps_the_old_value(store, monkeypatch, call):
    store.put("state", b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StoreError, match=r"No space left on device'; free 49 bytes .* from before is kept"):
            store.put("state", b"new")
        with pytest.raises(StoreError, match="No space left on device"):
            store.put_artifact(b"new")
    assert store.get("state") == b"old"
    assert names_in(store) == ["state"]


def test_a_file_over_the_size_limit_of_the_process_keeps_the_old_value(tmp_path):
    """The real kernel path of a write that fails half way: RLIMIT_FSIZE."""
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from fedtailor.client.store import DeviceStore\n"
        "from fedtailor.protos.errors import StoreError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "store = DeviceStore(Path(sys.argv[1]))\n"
        "store.put('state', b'old')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    store.put('state', b'new' * 100_000)\n"
        "except StoreError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert DeviceStore(tmp_path).get("state") == b"old"
    assert names_in(DeviceStore(tmp_path)) == ["state"]


def test_a_process_killed_while_it_writes_leaves_the_old_or_the_new_value(store):
    rng = np.random.default_rng(0)
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-c", WRITER, store.folder, "ab"], stdout=subprocess.PIPE) as writer:
            assert writer.stdout.readline() == b"0\n"
            time.sleep(rng.uniform(0, 0.03))
            writer.kill()
            turns = 1 + len(writer.stdout.read().splitlines())
        value = store.get("state")
        put, under_way = b"ab"[(turns - 1) % 2], b"ab"[turns % 2]
        assert value in (bytes([put]) * 300_000, bytes([under_way]) * 300_000)


def test_processes_that_write_one_name_never_show_a_mixture(store):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, store.folder, mark], stdout=subprocess.PIPE) for mark in "xyz"
    ]
    for writer in writers:
        writer.stdout.readline()
    seen = {store.get("state") for _ in range(100)}
    for writer in writers:
        writer.kill()
        writer.communicate()
    assert seen <= {mark * 300_000 for mark in (b"x", b"y", b"z")}
    assert store.get("state") in {mark * 300_000 for mark in (b"x", b"y", b"z")}


def test_only_abandoned_temporary_files_are_swept(store):
    young, old = (store.folder / "values" / f".state.{age}.tmp" for age in ("young", "old"))
    young.touch()
    old.touch()
    os.utime(old, (0, 0))
    DeviceStore(store.folder)
    assert names_in(store) == [young.name]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"Not a directory|File exists"):
        DeviceStore(tmp_path / "file")


@given(first=st.text(min_size=1, max_size=300), second=st.text(min_size=1, max_size=300))
def test_different_devices_have_different_safe_folders(first, second):
    names = folder_name(first), folder_name(second)
    assert (names[0].casefold() == names[1].casefold()) == (first == second)
    for name in names:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_%~")
        assert 0 < len(name) <= 150


@pytest.mark.parametrize(
    ("device_id", "name"),
    [("watch-1", "watch-1"), ("shop/7 a", "shop%2f7%20a"), ("..", "%2e%2e"), ("Ada", "%41da"), ("é", "%c3%a9")],
)
def test_a_folder_name_is_readable(device_id, name):
    assert folder_name(device_id) == name


def test_a_device_without_an_id_has_no_folder():
    with pytest.raises(ValueError, match="must not be empty"):
        folder_name("")


def test_the_header_is_as_long_as_the_format_says(store):
    store.put("state", b"12345")
    assert value_file(store).stat().st_size == HEADER_BYTES + 5
