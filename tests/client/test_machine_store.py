import pytest

from fedtailor.client.machine_store import machine_store


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return tmp_path / "home"


def test_figures_are_kept_in_the_users_cache(home):
    with machine_store() as store:
        store.put("figures", b"7")
        assert store.folder.is_relative_to(home / ".cache" / "fedtailor")
    with machine_store() as again:
        assert again.get("figures") == b"7"


@pytest.mark.parametrize(("given", "where"), [("{}/elsewhere", "elsewhere"), ("relative", "home/.cache"), ("", "home")])
def test_the_cache_may_be_moved_by_an_absolute_path(home, monkeypatch, given, where):
    monkeypatch.setenv("XDG_CACHE_HOME", given.format(home.parent))
    with machine_store() as store:
        assert store.folder.is_relative_to(home.parent / where)


def test_a_home_that_cannot_be_written_is_done_without(home):
    home.mkdir()
    (home / ".cache").write_text("no folder")
    with machine_store() as store:
        store.put("figures", b"7")
        assert store.get("figures") == b"7"
        assert not store.folder.is_relative_to(home)
    assert not store.folder.exists()
    with machine_store() as again:
        assert again.get("figures") is None
