import hashlib

import pytest

from fedtailor.protos.errors import RegistryError
from fedtailor.server.artifacts import Artifacts


def test_content_is_found_under_its_hash(tmp_path):
    artifacts = Artifacts(tmp_path)
    name = artifacts.put(b"content")
    assert name == hashlib.sha256(b"content").hexdigest()
    assert artifacts.path(name) == tmp_path / name[:2] / name
    assert artifacts.get(name) == b"content"


def test_putting_it_again_mends_a_damaged_file(tmp_path):
    artifacts = Artifacts(tmp_path)
    name = artifacts.put(b"content")
    artifacts.path(name).write_bytes(b"conten")
    with pytest.raises(RegistryError, match="damaged"):
        artifacts.get(name)
    artifacts.put(b"content")
    assert artifacts.get(name) == b"content"


def test_nothing_else_is_left_in_the_folder(tmp_path):
    artifacts = Artifacts(tmp_path)
    names = {artifacts.put(bytes([value])) for value in range(5)}
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == names
