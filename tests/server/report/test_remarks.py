"""What stands below the table."""

from dataclasses import replace

from summaries import bare_row, fallback_row, watch_summary

from fedtailor.server.report.remarks import remarks


def test_withdrawn_recipes_come_first_and_are_named():
    assert "w25-fp32" in remarks(watch_summary())[0]


def test_a_kept_fp32_model_is_explained():
    lines = remarks(replace(watch_summary(), devices=(fallback_row("stubborn"),)))
    assert any(line.startswith("stubborn: runs the fp32 reference: int8 is rejected by the gate") for line in lines)


def test_problems_name_their_device():
    assert "silent: no answer in 40 rounds" in remarks(replace(watch_summary(), devices=(bare_row("silent"),)))


def test_a_problem_that_names_its_device_does_not_name_it_twice():
    row = replace(bare_row("silent"), problems=("device silent, evaluate: out of memory",))
    assert "device silent, evaluate: out of memory" in remarks(replace(watch_summary(), devices=(row,)))


def test_an_equal_problem_of_several_rounds_is_one_line():
    lines = [line for line in remarks(watch_summary(rounds=20)) if line.startswith("round")]
    assert lines == ["rounds 7, 16: watch-04: no answer within 20 s"]


def test_many_rounds_are_counted_not_listed():
    rows = tuple(replace(row, problems=("slow",)) for row in watch_summary(rounds=40).rounds)
    assert "rounds 1, 2, 3 … 40 (40 in all): slow" in remarks(replace(watch_summary(), rounds=rows))
