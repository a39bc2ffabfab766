import pytest
from flwr.app import Context, RecordDict
from scripted import ScriptedDevice, fleet

from fedtailor.protos.errors import ConfigError
from fedtailor.server.app import app, read_job, serve
from fedtailor.server.job import Job
from fedtailor.server.registry import open_registry
from fedtailor.server.summarise import summarise


def test_the_app_runs_the_job_of_its_config_into_the_configs_folder(tmp_path, capsys):
    (tmp_path / "config.toml").write_text("devices = 3\n[job]\nrounds = 2\n[job.codec]\nname = 'fp32'\n")
    config = {"config": str(tmp_path / "config.toml"), "job.rounds": 1}
    app(fleet(ScriptedDevice("a")), Context(1, 1, {}, RecordDict(), config))
    with open_registry(tmp_path, create=False) as registry:
        assert len(summarise(registry).rounds) == 1
    assert "train 1/1 1 of 1" in capsys.readouterr().err


def test_keys_of_the_run_config_override_the_file_at_any_depth(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("[job]\nrounds = 2\n[job.train]\nbatch_size = 8\n")
    job = read_job({"config": str(path), "job.train.learning_rate": 0.5, "job.seed": 3, "other": 1})
    assert (job.rounds, job.train.batch_size, job.train.learning_rate, job.seed) == (2, 8, 0.5, 3)
    assert read_job({}) == Job()


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"job.round": 3}, "job.round: unknown key; did you mean 'rounds'?"),
        ({"config": "/nowhere/c.toml"}, "/nowhere/c.toml: cannot be read"),
        ({"config": 3}, "run config: config: expected a text, got 3"),
        ({}, r"run config: expected run \(a folder\) or config"),
    ],
)
def test_a_wrong_run_config_is_one_line(config, line):
    with pytest.raises(ConfigError, match=line) as error:
        serve(fleet(), config, lambda *_: None)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "line"), [("[job", "is not TOML"), ("job = 3", "job: expected a table, got 3")])
def test_a_broken_file_is_named(tmp_path, text, line):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"c.toml: {line}"):
        read_job({"config": str(path)})
