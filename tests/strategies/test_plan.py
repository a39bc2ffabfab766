from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.protos.budget import Budget
from fedtailor.protos.data_profile import DataProfile
from fedtailor.protos.device_profile import Benchmark, DeviceProfile
from fedtailor.protos.errors import PlanError
from fedtailor.protos.messages import Profile
from fedtailor.protos.plan import CodecSpec, Footprint, GatePlan, PersonalPlan, Plan, TrainPlan
from fedtailor.strategies.label_prior import FleetLabels
from fedtailor.strategies.plan import (
    check_profile,
    choose_model_spec,
    choose_personal,
    choose_plan,
    cooled,
    for_round,
    label_skew,
    local_training,
)

EVEN = FleetLabels((50, 50))
AUTO = PersonalPlan(method="auto", epochs=15, batch_size=32, learning_rate=0.01)


def profile(device_id="a", x=None, counts=(50, 50), **changes):
    x = np.full((max(1, sum(counts)), 10, 2), 3.0) if x is None else x
    flat = x.reshape(-1, x.shape[-1])
    return replace(
        DataProfile(
            device_id=device_id,
            kind="classification",
            sample_shape=x.shape[1:],
            outputs=len(counts),
            train_samples=sum(counts),
            validation_samples=20,
            class_counts=tuple(counts),
            feature_means=tuple(flat.mean(0).tolist()),
            feature_variances=tuple(flat.var(0).tolist()),
        ),
        **changes,
    )


def joined(data, budget):
    hardware = DeviceProfile(
        device_id=data.device_id,
        device_class="watch",
        machine="any",
        cores=1,
        isa=(),
        ram_bytes=1,
        storage_free_bytes=1,
        battery_fraction=None,
        providers=(),
        benchmark=Benchmark(**dict.fromkeys(Benchmark.__dataclass_fields__, 1.0)),
    )
    return Profile(hardware=hardware, data=data, budget=budget)


def template(spec, personal=AUTO):
    return Plan(
        device_id="",
        round=0,
        seed=0,
        base_version=0,
        model=spec,
        train=TrainPlan(epochs=1, batch_size=32, learning_rate=0.05),
        personal=personal,
        personal_parameters=(),
        recipes=(),
        codec=CodecSpec(name="uniform", version=1),
        feedback=True,
        gate=GatePlan(),
        downlink=CodecSpec(name="fp32", version=1),
        budget=Budget(),
    )


@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_pooled_moments_are_those_of_all_rows_together(seed, sizes):
    rng = np.random.default_rng(seed)
    parts = [rng.normal(rng.normal(size=3) * 5, 2, size=(n, 7, 3)) for n in sizes]
    spec = choose_model_spec([profile(str(i), x, counts=(len(x), 0)) for i, x in enumerate(parts)])
    everything = np.concatenate(parts).reshape(-1, 3)
    np.testing.assert_allclose(spec.feature_means, everything.mean(0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(spec.feature_scales, everything.std(0), rtol=1e-9)


def test_a_constant_channel_has_scale_one():
    assert choose_model_spec([profile()]).feature_scales == (1.0, 1.0)
    noisy = profile(feature_means=(1000.0, 0.0), feature_variances=(1e-9, 0.0))
    assert choose_model_spec([noisy]).feature_scales == (1.0, 1.0)


def test_a_small_but_real_spread_is_kept():
    spec = choose_model_spec([profile(feature_means=(0.0, 0.0), feature_variances=(1e-8, 4.0))])
    assert spec.feature_scales == pytest.approx((1e-4, 2.0))


def test_a_regression_target_is_pooled_too():
    numeric = {"kind": "regression", "outputs": 1, "class_counts": ()}
    one = profile("a", target_mean=0.0, target_variance=0.0, **numeric)
    two = profile("b", target_mean=2.0, target_variance=0.0, **numeric)
    spec = choose_model_spec([one, two])
    assert (spec.target_mean, spec.target_scale) == (1.0, 1.0)


def test_a_device_without_train_rows_does_not_weigh_in():
    unseen = profile("new", counts=(0, 0), train_samples=0, feature_means=(), feature_variances=())
    assert choose_model_spec([profile(), unseen]) == choose_model_spec([profile()])


def test_devices_that_disagree_are_named_in_one_line():
    odd = profile("odd", counts=(30, 30, 30))
    with pytest.raises(PlanError, match=r"2 have classification .* with 2 outputs, but odd .* with 3 outputs") as error:
        choose_model_spec([profile("a"), odd, profile("b")])
    assert "\n" not in str(error.value)


def test_a_fleet_without_train_rows_is_refused():
    with pytest.raises(PlanError, match="none of 1 devices has rows to train on"):
        choose_model_spec([profile(train_samples=0)])


def test_a_model_that_does_not_take_the_data_is_refused():
    with pytest.raises(PlanError, match=r"'mlp' does not take samples of shape \[10, 2\]"):
        choose_model_spec([profile()], "mlp")


def test_a_late_device_with_other_data_is_refused():
    spec = choose_model_spec([profile()])
    check_profile(profile("fits"), spec)
    with pytest.raises(PlanError, match="device late: expected classification"):
        check_profile(profile("late", counts=(5, 5, 5)), spec)


@pytest.mark.parametrize(
    ("counts", "method"),
    [((0, 0), "shared"), ((20, 19), "ditto"), ((20, 20), "finetune"), ((200, 0), "finetune")],
)
def test_the_method_follows_the_amount_of_data(counts, method):
    assert choose_personal(profile(counts=counts), FleetLabels((100, 100)), AUTO)[0].method == method


def test_in_a_skewed_fleet_little_data_is_enough_to_be_told_of():
    few = profile(counts=(9, 1))
    plan, word = choose_personal(few, FleetLabels((50, 50), 0.4), AUTO)
    assert (plan.method, word) == ("prior", "prior (little data)")
    assert choose_personal(few, FleetLabels((50, 50), 0.0), AUTO)[1] == "ditto (little data)"


def test_many_classes_do_not_make_forty_labels_little():
    many = profile(counts=(1,) * 60)
    assert choose_personal(many, FleetLabels((1,) * 60), AUTO)[0].method == "finetune"


def test_strong_skew_gets_a_personal_head_and_names_its_parameters():
    spec = choose_model_spec([profile(counts=(50, 50, 50, 50))])
    skewed = profile(counts=(100, 0, 0, 0))
    plan, word = choose_plan(joined(skewed, Budget()), template(spec), FleetLabels((100, 100, 100, 100)))
    assert plan.personal.method == "head"
    assert word == "head (strong skew)"
    assert plan.personal_parameters == ("head.weight", "head.bias")


def test_a_fixed_method_is_kept_where_there_are_rows():
    ditto = replace(AUTO, method="ditto", proximal=0.1)
    assert choose_personal(profile(counts=(3, 3)), FleetLabels((3, 3)), ditto) == (ditto, "ditto")
    assert choose_personal(profile(train_samples=0), FleetLabels((3, 3)), ditto)[0].method == "shared"


def test_a_plan_carries_the_device_and_its_budget():
    spec = choose_model_spec([profile()])
    budget = Budget(size_bytes=9000)
    plan, _ = choose_plan(joined(profile("dev"), budget), template(spec), EVEN)
    assert (plan.device_id, plan.budget, plan.model) == ("dev", budget, spec)


@pytest.mark.parametrize(("own", "margin"), [(None, 0.01), (0.005, 0.005), (0.02, 0.02)])
def test_a_devices_own_margin_stands_before_the_jobs(own, margin):
    asked = replace(template(choose_model_spec([profile()])), gate=GatePlan(margin=0.01, confidence=0.9))
    plan, _ = choose_plan(joined(profile(), Budget(accuracy_margin=own)), asked, EVEN)
    assert plan.gate == GatePlan(margin=margin, confidence=0.9)


@given(a=st.lists(st.integers(0, 50), min_size=3, max_size=3), b=st.lists(st.integers(0, 50), min_size=3, max_size=3))
def test_label_skew_is_a_distance_between_zero_and_one(a, b):
    assert 0 <= label_skew(a, b) <= 1 + 1e-12
    assert label_skew(a, b) == pytest.approx(label_skew(b, a))
    assert label_skew(a, a) == 0


def test_label_skew_of_disjoint_labels_is_one():
    assert label_skew((5, 0), (0, 9)) == 1.0


def test_a_device_of_a_skewed_fleet_is_told_what_its_labels_say():
    spec = choose_model_spec([profile()])
    told, _ = choose_plan(joined(profile(counts=(90, 10)), Budget()), template(spec), FleetLabels((50, 50), 0.4))
    assert told.label_prior[0] > 0 > told.label_prior[1]
    assert choose_plan(joined(profile(counts=(90, 10)), Budget()), template(spec), EVEN)[0].label_prior == ()


def test_the_seed_of_a_round_depends_on_job_device_and_round():
    plan = replace(template(choose_model_spec([profile()])), device_id="a")
    seeds = {
        for_round(each, seed=seed, round_=round_, base_version=0).seed
        for each in (plan, replace(plan, device_id="b"))
        for seed in (0, 1)
        for round_ in (1, 2)
    }
    assert len(seeds) == 8
    assert all(0 <= seed < 2**31 for seed in seeds)
    again = for_round(plan, seed=0, round_=3, base_version=2)
    assert again == for_round(plan, seed=0, round_=3, base_version=2)
    assert (again.round, again.base_version) == (3, 2)


def test_the_rate_holds_then_falls_over_the_cooldown():
    shares = [cooled(round_, 40, 0.25) for round_ in range(1, 41)]
    assert shares[:30] == [1.0] * 30
    assert all(later < earlier for earlier, later in pairwise(shares[31:]))
    assert shares[-1] == pytest.approx(0.15)
    assert [cooled(round_, 3, 0.0) for round_ in (1, 2, 3)] == [1.0] * 3


def test_the_plan_of_a_round_trains_at_its_share_of_the_rate():
    plan = template(choose_model_spec([profile()]))
    assert for_round(plan, seed=1, round_=2, base_version=1, rate_share=0.5).train.learning_rate == pytest.approx(0.025)


def test_training_is_made_to_fit_the_memory_it_may_take():
    spec = choose_model_spec([profile()])
    plain, tight = (
        choose_plan(joined(profile(), Budget(train_ram_bytes=limit)), template(spec), EVEN)[0].train
        for limit in (None, 500_000)
    )
    assert plain.footprint == Footprint()
    assert tight.footprint != Footprint()
    assert replace(tight, footprint=Footprint()) == plain
    with pytest.raises(PlanError, match="train_ram_bytes 100;"):
        choose_plan(joined(profile(), Budget(train_ram_bytes=100)), template(spec), EVEN)


@pytest.mark.parametrize("weak", ["depth", "width", "leave-out"])
def test_with_memory_enough_a_plan_is_the_same_whatever_becomes_of_weak_devices(weak):
    spec = choose_model_spec([profile()])
    asked = joined(profile(), Budget(train_ram_bytes=10**9))
    assert choose_plan(asked, template(spec), EVEN, weak=weak) == choose_plan(asked, template(spec), EVEN)


@pytest.mark.parametrize(("weak", "limit"), [("depth", 200_000), ("width", 200_000), ("leave-out", 200_000)])
def test_a_weak_device_trains_its_submodel_and_personalises_the_head(weak, limit):
    spec = replace(choose_model_spec([profile()]), exits=("pool1",) if weak == "depth" else ())
    plan, word = choose_plan(joined(profile(), Budget(train_ram_bytes=limit)), template(spec), EVEN, weak=weak)
    assert plan.submodel.kind == weak
    assert (plan.personal.method, plan.personal_parameters) == ("head", ("head.weight", "head.bias"))
    assert word == "head (weak device)"
    assert [for_round(plan, seed=0, round_=at, base_version=0).submodel.offset for at in (3, 4)] == (
        [3, 4] if weak == "width" else [0, 0]
    )


def test_a_device_too_small_even_for_the_head_keeps_the_shared_model():
    spec = choose_model_spec([profile()])
    plan, word = choose_plan(joined(profile(), Budget(train_ram_bytes=900)), template(spec), EVEN, weak="width")
    assert (plan.submodel.kind, plan.personal.method, word) == ("leave-out", "shared", "shared (weak device)")


@pytest.mark.parametrize(("rows", "epochs"), [(1, 8), (16, 8), (17, 4), (32, 4), (33, 1), (500, 1)])
def test_a_device_with_few_rows_goes_through_them_again_for_at_most_eight_steps(rows, epochs):
    train = TrainPlan(epochs=1, batch_size=16, learning_rate=0.05)
    assert local_training(train, rows).epochs == epochs
    assert local_training(replace(train, epochs=3), rows).epochs == max(epochs, 3)


def test_a_plan_has_the_epochs_for_its_devices_rows():
    spec = choose_model_spec([profile()])
    few, many = (
        choose_plan(joined(replace(profile(), train_samples=rows), Budget()), template(spec), EVEN)[0].train.epochs
        for rows in (10, 1000)
    )
    assert few == 8 * many
