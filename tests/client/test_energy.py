import pytest

from fedtailor.client.energy import Battery, Rapl, energy_counter, energy_mj

RANGE = 1000


@pytest.fixture
def sysfs(tmp_path):
    """A tree as the kernel shows it, filled in by path and text."""

    def build(**files):
        for path, text in files.items():
            file = tmp_path / path.replace("__", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")
        return tmp_path

    return build


def package(root, zone, name="package-0", energy_uj=100, top=RANGE - 1):
    folder = root / "powercap" / zone
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{top}\n")
    return folder


class Machine:
    """A clock, and a counter that adds `idle_w` all the time and `run_j` with each run."""

    name, window_s = "made up", 1.0

    def __init__(self, idle_w, run_j, run_s=0.25):
        self.now_s, self.used_j = 0.0, 0.0
        self.idle_w, self.run_j, self.run_s = idle_w, run_j, run_s

    def clock(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds
        self.used_j += seconds * self.idle_w

    def run(self):
        self.sleep(self.run_s)
        self.used_j += self.run_j

    def read(self):
        return (self.used_j,)

    def joules(self, before, after):
        return after[0] - before[0]


def test_without_a_counter_there_is_none(tmp_path):
    assert energy_counter(tmp_path) is None


def test_packages_are_added_and_what_lies_inside_or_around_them_is_left_out(tmp_path):
    first = package(tmp_path, "intel-rapl:0", energy_uj=100)
    second = package(tmp_path, "intel-rapl:1", "package-1", energy_uj=200)
    package(tmp_path, "intel-rapl:0:0", "core")
    package(tmp_path, "intel-rapl:2", "psys")
    counter = energy_counter(tmp_path)
    before = counter.read()
    (first / "energy_uj").write_text("150")
    (second / "energy_uj").write_text("270")
    assert counter.joules(before, counter.read()) == pytest.approx(120e-6)


def test_a_counter_that_starts_again_at_zero_goes_on(tmp_path):
    zone = package(tmp_path, "intel-rapl:0", energy_uj=990)
    counter = Rapl((zone,))
    before = counter.read()
    (zone / "energy_uj").write_text("5")
    assert counter.joules(before, counter.read()) == pytest.approx(15e-6)


def test_a_package_that_only_root_may_read_is_none(tmp_path):
    zone = package(tmp_path, "intel-rapl:0")
    (zone / "energy_uj").unlink()
    (zone / "energy_uj").mkdir()  # reading it fails, for root as well
    assert energy_counter(tmp_path) is None


def test_a_battery_counts_while_it_alone_feeds_the_machine(sysfs):
    files = {"power_supply__BAT0__type": "Battery", "power_supply__BAT0__power_now": 2_000_000}
    assert energy_counter(sysfs(**files, power_supply__BAT0__status="Charging")) is None
    root = sysfs(**files, power_supply__BAT0__status="Discharging")
    assert energy_counter(root) == Battery(root / "power_supply" / "BAT0")


def test_a_mains_adapter_is_no_battery(sysfs):
    assert energy_counter(sysfs(power_supply__AC__type="Mains", power_supply__AC__online="1")) is None


def test_a_battery_without_a_gauge_is_none(sysfs):
    root = sysfs(power_supply__BAT0__type="Battery", power_supply__BAT0__status="Discharging")
    assert energy_counter(root) is None


@pytest.mark.parametrize(
    "gauge", [{"power_now": 3_000_000}, {"current_now": -2_000_000, "voltage_now": 1_500_000}], ids=["power", "current"]
)
def test_a_gauge_in_watts_times_seconds_is_joules(sysfs, gauge):
    root = sysfs(**{f"BAT0__{name}": value for name, value in gauge.items()})
    times = iter((10.0, 14.0))
    counter = Battery(root / "BAT0", clock=lambda: next(times))
    assert counter.joules(counter.read(), counter.read()) == pytest.approx(12.0)


def test_the_processors_counter_comes_before_the_battery(sysfs, tmp_path):
    package(tmp_path, "intel-rapl:0")
    sysfs(
        power_supply__BAT0__type="Battery",
        power_supply__BAT0__status="Discharging",
        power_supply__BAT0__power_now=1,
    )
    assert energy_counter(tmp_path).name == "RAPL"


def test_energy_is_that_of_one_run_without_what_the_machine_takes_idle():
    machine = Machine(idle_w=7.0, run_j=0.002)
    assert energy_mj(machine, machine.run, clock=machine.clock, sleep=machine.sleep) == pytest.approx(2.0)


def test_a_run_longer_than_the_window_is_made_once():
    machine = Machine(idle_w=1.0, run_j=0.5, run_s=3.0)
    assert energy_mj(machine, machine.run, clock=machine.clock, sleep=machine.sleep) == pytest.approx(500.0)
    assert machine.now_s == 1.0 + 3.0


def test_a_run_that_takes_no_more_than_idle_has_no_figure():
    machine = Machine(idle_w=1.0, run_j=-0.01)
    assert energy_mj(machine, machine.run, clock=machine.clock, sleep=machine.sleep) is None


def test_a_counter_that_goes_away_meanwhile_has_no_figure(tmp_path):
    zone = package(tmp_path, "intel-rapl:0")

    def run():
        (zone / "energy_uj").unlink(missing_ok=True)

    assert energy_mj(Rapl((zone,)), run) is None
