import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.errors import ConfigError
from fedtailor.protos.plan import CodecSpec, Recipe
from fedtailor.server.job import Job, job_from, job_table
from fedtailor.strategies.choice.choice import ChoiceSpec


@st.composite
def jobs(draw):
    fractions = st.floats(0.01, 1.0)
    return replace(
        Job(),
        rounds=draw(st.integers(1, 100)),
        fraction=draw(fractions),
        seed=draw(st.integers(0, 2**31 - 1)),
        model=draw(st.none() | st.sampled_from(["mlp", "conv1d"])),
        feedback=draw(st.booleans()),
        tags=tuple(draw(st.lists(st.text(max_size=3), max_size=2))),
        over_selection=draw(fractions),
        codec=CodecSpec(name="int8", version=1, args=draw(st.dictionaries(st.sampled_from("ab"), fractions))),
        recipes=tuple(Recipe(name=f"r{i}", shrink=1 / draw(fractions)) for i in range(draw(st.integers(0, 3)))),
    )


@given(job=jobs())
def test_a_job_survives_its_table(job):
    assert job_from(job_table(job)) == job


def test_an_empty_table_is_the_default_job():
    assert job_from({}) == Job()


def test_a_nested_table_changes_only_what_it_names():
    job = job_from(tomllib.loads("rounds = 3\n[train]\nlearning_rate = 1\n[codec.args]\nbits = 4"))
    assert job.rounds == 3
    assert job.train == replace(Job().train, learning_rate=1.0)
    assert job.codec == replace(Job().codec, args={"bits": 4.0})


def test_a_buffered_job_steps_without_momentum_unless_it_says_otherwise():
    plain = job_from({"mode": "buffered"})
    assert plain == replace(Job(), mode="buffered", optimizer=plain.optimizer)
    assert (Job().optimizer.name, plain.optimizer.name) == ("momentum", "sgd")
    assert job_from({"mode": "buffered", "optimizer": {"name": "adam", "version": 1}}).optimizer.name == "adam"
    assert job_from(job_table(plain)) == plain


@pytest.mark.parametrize("table", [{"mode": "async"}, {"buffer": -1}, {"staleness": -1}, {"concurrency": -1}])
def test_a_buffered_job_that_cannot_be_is_refused(table):
    with pytest.raises(ConfigError, match=f"job.{next(iter(table))}: expected "):
        job_from({"mode": "buffered", **table})


def test_whom_to_ask_is_read_from_a_table():
    job = job_from(
        tomllib.loads("tags = ['till']\nover_selection = 0.3\n[choice]\nname = 'utility'\nargs = {pace = 1}")
    )
    assert (job.tags, job.over_selection) == (("till",), 0.3)
    assert job.choice == ChoiceSpec(name="utility", version=1, args={"pace": 1.0})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("round = 3", "job.round: unknown key; did you mean 'rounds'?"),
        ("zzz = 3", "job.zzz: unknown key; known: name, "),
        ("rounds = 2.5", "job.rounds: expected a whole number, got float 2.5"),
        ("rounds = true", "job.rounds: expected a whole number, got bool True"),
        ("over_selection = -0.1", "job.over_selection: expected at least 0 and at most 10, got -0.1"),
        ("tags = 'till'", "job.tags: expected a list, got str 'till'"),
        ("choice = 'utility'", "job.choice: expected a table, got str 'utility'"),
        ("rounds = 0", "job.rounds: expected at least 1 and at most 100000, got 0"),
        ("fraction = 0", "job.fraction: expected above 0 and at most 1, got 0.0"),
        ("deadline_s = nan", "job.deadline_s: expected above 0, got nan"),
        ("feedback = 1", "job.feedback: expected true or false, got int 1"),
        ("train = 3", "job.train: expected a table, got int 3"),
        ("[train]\nepoch = 1", "job.train.epoch: unknown key; did you mean 'epochs'?"),
        (
            "[personal]\nmethod = 'magic'",
            "job.personal.method: expected one of auto, shared, prior, finetune, ditto, head, got 'magic'",
        ),
        ("recipes = 'all'", "job.recipes: expected a list, got str 'all'"),
        ("[[recipes]]\nname = 'a'", "job.recipes.shrink: missing"),
        (
            "[[recipes]]\nname = 'a'\nshrink = 0.5",
            "job.recipes.shrink: expected at least 1 and at most 10000, got 0.5",
        ),
        ("[codec.args]\nbits = 'four'", "job.codec.args.bits: expected a number, got str 'four'"),
        ("step_ahead = 2", "job.step_ahead: expected at least 0 and at most 1, got 2.0"),
        ("local_parameters = 'head'", "job.local_parameters: expected a list, got str 'head'"),
        ("local_parameters = [1]", "job.local_parameters: expected a text, got int 1"),
        ("[downlink]\nversion = 0", "job.downlink.version: expected at least 1, got 0"),
        ("[codec]\nargs = 4", "job.codec.args: expected a table of numbers, got int 4"),
    ],
)
def test_a_wrong_setting_is_one_line_with_key_expected_and_got(text, line):
    with pytest.raises(ConfigError) as error:
        job_from(tomllib.loads(text))
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_a_recipe_name_given_twice_is_refused():
    rung = {"name": "half", "shrink": 8}
    with pytest.raises(ConfigError, match="name 'half' is given twice"):
        job_from({"recipes": [rung, rung]})
