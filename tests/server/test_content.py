import pytest
from flwr.app import ConfigRecord, MetricRecord, RecordDict

from fedtailor.protos.budget import Budget
from fedtailor.protos.errors import DecodeError
from fedtailor.server.content import check_finite, content_of, read_reply


def test_a_noun_goes_in_and_comes_out():
    budget = Budget(latency_ms=2.5)
    assert read_reply(content_of(budget=budget), "budget", Budget, sender="a") == budget


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (RecordDict(), "none"),
        (RecordDict({"fedtailor": ConfigRecord()}), "an empty record"),
        (RecordDict({"fedtailor": ConfigRecord({"other": b""})}), "other"),
        (RecordDict({"fedtailor": ConfigRecord({"budget": "text"})}), "budget"),
        (RecordDict({"fedtailor": MetricRecord({"budget": 1.0})}), "budget"),
    ],
)
def test_what_is_not_there_or_of_another_kind_is_one_line(content, got):
    with pytest.raises(DecodeError, match=f"^device a: expected the entry 'budget' in record 'fedtailor', got {got}$"):
        read_reply(content, "budget", Budget, sender="device a")


def test_a_number_that_is_none_is_named_by_its_path():
    check_finite(Budget(latency_ms=1.0), sender="a")
    with pytest.raises(DecodeError, match=r"device a: Budget\.energy_mj is inf, expected a finite number"):
        check_finite(Budget(energy_mj=float("inf")), sender="device a")
