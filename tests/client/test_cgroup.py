import pytest

from fedtailor.client import cgroup
from fedtailor.client.cgroup import cpu_limit, memory_limit_bytes, usable_cores


@pytest.fixture
def system(tmp_path):
    """A mount and a membership file, filled in by path and text."""

    def build(membership, **files):
        (tmp_path / "membership").write_text(membership)
        for path, text in files.items():
            file = tmp_path / "mount" / path.replace("__", "/").replace("_of_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path / "mount", tmp_path / "membership"

    return build


def test_no_control_groups_is_no_limit(tmp_path):
    assert cpu_limit(tmp_path, tmp_path / "none") is None
    assert memory_limit_bytes(tmp_path, tmp_path / "none") is None


def test_version_2_limits_are_read(system):
    where = system("0::/\n", cpu_of_max="150000 100000\n", memory_of_max="1048576\n")
    assert cpu_limit(*where) == 1.5
    assert memory_limit_bytes(*where) == 1048576


def test_max_is_no_limit(system):
    where = system("0::/a\n", a__cpu_of_max="max 100000\n", a__memory_of_max="max\n")
    assert cpu_limit(*where) is None
    assert memory_limit_bytes(*where) is None


def test_the_tightest_ancestor_binds(system):
    where = system(
        "0::/a/b\n",
        a__cpu_of_max="100000 100000",
        a__b__cpu_of_max="400000 100000",
        a__memory_of_max="max",
        a__b__memory_of_max="500",
    )
    assert cpu_limit(*where) == 1.0
    assert memory_limit_bytes(*where) == 500


def test_a_neighbouring_group_does_not_bind(system):
    where = system("0::/a\n", b__cpu_of_max="100000 100000", b__memory_of_max="5")
    assert cpu_limit(*where) is None
    assert memory_limit_bytes(*where) is None


def test_inside_a_container_the_mount_is_the_group(system):
    where = system("0::/docker/0123\n", cpu_of_max="200000 100000", memory_of_max="77")
    assert cpu_limit(*where) == 2.0
    assert memory_limit_bytes(*where) == 77


def test_version_1_limits_are_read(system):
    where = system(
        "4:memory:/a\n2:cpu,cpuacct:/a\n1:name=systemd:/x:y\n0::/\n",
        cpu__a__cpu_of_cfs_quota_us="50000",
        cpu__a__cpu_of_cfs_period_us="100000",
        memory__a__memory_of_limit_in_bytes="123456",
    )
    assert cpu_limit(*where) == 0.5
    assert memory_limit_bytes(*where) == 123456


def test_a_version_1_quota_of_minus_one_is_no_limit(system):
    where = system("2:cpu:/\n", cpu__cpu_of_cfs_quota_us="-1", cpu__cpu_of_cfs_period_us="100000")
    assert cpu_limit(*where) is None


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (0.5, 1), (2.9, 2), (9.0, 4)])
def test_usable_cores_are_no_more_than_the_quota_is_worth(monkeypatch, quota, cores):
    monkeypatch.setattr(cgroup.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(cgroup, "cpu_limit", lambda: quota)
    assert usable_cores() == cores
