"""A device whose personal model is never wrong, and plans to tailor it by."""

from small_nets import SPECS, built_in, rows_for

from fedtailor.client.export import to_onnx
from fedtailor.client.runtime import open_session, predict
from fedtailor.protos.budget import Budget
from fedtailor.protos.model_spec import REGRESSION
from fedtailor.protos.plan import CodecSpec, GatePlan, PersonalPlan, Plan, TrainPlan
from fedtailor.protos.samples import DeviceData, Samples


def device(name, train=60, validation=40):
    """A device whose labels are what its personal net answers."""
    _, net = built_in(name)
    x = rows_for(net, train + validation)
    outputs = predict(open_session(to_onnx(net)), x)
    y = outputs[:, 0] if SPECS[name].kind == REGRESSION else outputs.argmax(-1)
    split = lambda rows: Samples(x[rows], y[rows])  # noqa: E731
    splits = split(slice(train)), split(slice(train, None)), split(slice(0))
    return net, DeviceData("d", SPECS[name].kind, SPECS[name].outputs, *splits)


def plan_of(name, *recipes, budget=None, margin=0.01):
    train = TrainPlan(epochs=1, batch_size=8, learning_rate=0.1)
    personal = PersonalPlan(method="shared", epochs=1, batch_size=8, learning_rate=0.1)
    return Plan(
        device_id="d",
        round=1,
        seed=0,
        base_version=1,
        model=SPECS[name],
        train=train,
        personal=personal,
        personal_parameters=(),
        recipes=recipes,
        codec=CodecSpec(name="none", version=1),
        feedback=False,
        gate=GatePlan(margin=margin),
        downlink=CodecSpec(name="fp32", version=1),
        budget=budget or Budget(),
    )
