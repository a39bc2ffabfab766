from dataclasses import replace

from fedtailor.client.choose import choose
from fedtailor.protos.efficiency import Efficiency
from fedtailor.protos.mask import Mask
from fedtailor.protos.plan import GatePlan
from fedtailor.protos.variant import FALLBACK, Ladder, Rung
from fedtailor.protos.verdict import NOT_SHOWN_WORSE, PROVEN, REJECTED
from fedtailor.strategies.gate import itself


def rung(recipe, payload_bytes, verdict=PROVEN, latency_ratio=1.5, unmet=(), doubt=""):
    efficiency = Efficiency(
        payload_bytes=payload_bytes,
        file_bytes=1,
        macs=1,
        latency_p50_us_measured=1.0,
        latency_p99_us_measured=1.0,
        cpu_p50_us_measured=1.0,
        load_ms_measured=1.0,
        memory_bytes_measured=1,
    )
    return Rung(
        recipe=recipe,
        precision="int8",
        weight_bits=8,
        mask=Mask(),
        validation_score=0.9,
        verdict=replace(itself(100, GatePlan()), verdict=verdict),
        efficiency=efficiency,
        latency_ratio=latency_ratio,
        payload_sha256="",
        unmet=unmet,
        doubt=doubt,
    )


def ladder(*rungs):
    return Ladder(
        device_id="d",
        round=1,
        base_version=1,
        base_hash="",
        personal_method="shared",
        base_validation_score=0.9,
        personal_validation_score=0.9,
        reference=rung(FALLBACK, 1000, latency_ratio=1.0),
        rungs=rungs,
    )


def chosen(*rungs, withdrawn=()):
    return choose(ladder(*rungs), withdrawn)[0].recipe


def test_the_smallest_payload_wins():
    assert chosen(rung("a", 300), rung("b", 100, NOT_SHOWN_WORSE), rung("c", 200)) == "b"


def test_a_doubt_weighs_more_than_size_and_less_than_the_budget():
    doubt, over = "its loss may have grown by 0.030 nats", ("latency_ms 2 of 1",)
    assert chosen(rung("a", 300), rung("b", 100, doubt=doubt)) == "a"
    assert chosen(rung("a", 300, unmet=over), rung("b", 100, doubt=doubt)) == "b"
    found, reason = choose(ladder(rung("a", 300, doubt=doubt), rung("b", 200, REJECTED)), ())
    assert found.recipe == "a"
    assert reason.endswith(f"though {doubt}")


def test_meeting_the_budget_comes_before_size():
    over = ("latency_ms 2 of 1",)
    assert chosen(rung("a", 300), rung("b", 100, unmet=over)) == "a"
    best, reason = choose(ladder(rung("a", 300, unmet=over), rung("b", 100, unmet=over)), ())
    assert best.recipe == "b"
    assert "latency_ms 2 of 1" in reason


def test_rejected_withdrawn_and_slower_rungs_are_never_chosen():
    rungs = rung("a", 100, REJECTED), rung("b", 200), rung("c", 300, latency_ratio=0.99), rung("d", 400)
    assert chosen(*rungs, withdrawn=("b",)) == "d"


def test_the_reference_is_left_and_every_objection_named():
    rungs = rung("a", 100, REJECTED), rung("b", 200), rung("c", 300, latency_ratio=0.99)
    best, reason = choose(ladder(*rungs), ("b",))
    assert best.recipe == FALLBACK
    assert reason == (
        "the fp32 reference: a is rejected by the gate; b is withdrawn by the fleet; c is slower than fp32"
    )


def test_an_empty_ladder_leaves_the_reference():
    assert choose(ladder(), ())[1] == "the fp32 reference: no recipe gave a variant"


def test_a_damaged_rung_is_left_out_and_named_only_where_it_could_have_run():
    rungs = rung("a", 100), rung("b", 200, REJECTED), rung("c", 300)
    best, reason = choose(ladder(*rungs), (), ("a", "b"))
    assert best.recipe == "c"
    assert reason == "the smallest of 1 that may run and meet the budget; a is damaged on this device"
