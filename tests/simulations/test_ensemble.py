"""A whole job whose server distils: from a fleet file, with a weak device, broken off and resumed."""

import numpy as np
import pytest
from small_fleet import JOB, write_rows

from fedtailor.client.fleet_file import read_fleet_file
from fedtailor.protos.errors import ConfigError
from fedtailor.server.registry import open_registry
from fedtailor.simulations.fleet import load_fleet
from fedtailor.simulations.resume import resume
from fedtailor.simulations.simulate import simulate
from fedtailor.simulations.toml import to_toml

ENSEMBLE = {"proxy": "proxy.npz", "steps": 20}


def fleet_file(folder, ensemble=None, **job):
    """`fleet.toml`, with the rows and the proxy beside it: what one of the devices has, without labels."""
    rows = write_rows(folder / "rows.npz", np.random.default_rng(1))
    np.savez(folder / "proxy.npz", x=read_fleet_file(rows).device("south").train.x)
    device = {"id": "east", "class": "phone", "budget": {"train_ram_bytes": 30_000}}  # half of the depth
    table = {"data": "rows.npz", "seed": 7, "workers": 2, "device": [device]}
    (folder / "fleet.toml").write_text(to_toml({**table, "job": {**JOB, "ensemble": ensemble or {}, **job}}))
    return folder / "fleet.toml"


def bases(run):
    with open_registry(run) as registry:
        return [checkpoint.private_values for checkpoint in registry.checkpoints(99)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    return folder / "run", simulate(load_fleet(fleet_file(folder, ENSEMBLE)), folder / "run", lambda *_: None)


def test_a_fleet_file_that_names_proxy_rows_beside_it_trains_another_base(unbroken, tmp_path):
    run, summary = unbroken
    assert [(row.answered, row.committed, row.problems) for row in summary.rounds] == [(3, True, ())] * 3
    assert all(row.scores.base > 0.6 for row in summary.devices)  # of three classes
    simulate(load_fleet(fleet_file(tmp_path, rounds=1)), tmp_path / "run", lambda *_: None)
    (start, plain), taught = bases(tmp_path / "run"), bases(run)
    assert start == taught[0]
    assert plain != taught[1]


def test_broken_off_and_resumed_it_comes_to_the_same_bases(unbroken, tmp_path):
    def interrupt(stage, done, *_):
        if (stage, done) == ("train", 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(load_fleet(fleet_file(tmp_path, ENSEMBLE)), tmp_path / "run", interrupt)
    resume(tmp_path / "run", lambda *_: None)
    assert bases(tmp_path / "run") == bases(unbroken[0])


def test_proxy_rows_that_are_not_there_have_their_line(tmp_path):
    path = fleet_file(tmp_path, {**ENSEMBLE, "proxy": "nowhere.npz"})
    line = r"fleet\.toml: job\.ensemble\.proxy: expected a fleet file \(\.npz\), got '.*nowhere\.npz'"
    with pytest.raises(ConfigError, match=line):
        load_fleet(path)
