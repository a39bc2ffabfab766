"""A fleet as the server sees it: a Grid without a network, and devices that do as they are told."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from variants import efficiency, hardware, rung, verdict

from fedtailor.protos.budget import Budget
from fedtailor.protos.data_profile import DataProfile
from fedtailor.protos.messages import EvaluateReply, Instruction, Profile, Scores, TailorReply, TrainReply
from fedtailor.protos.schema import schema_of
from fedtailor.protos.variant import FALLBACK, Ladder, Rung, Variant
from fedtailor.protos.wire import from_bytes, to_bytes
from fedtailor.server.rounds import Clock
from fedtailor.strategies.codec.broadcast import follow
from fedtailor.strategies.codec.envelope import Address, encode_update
from fedtailor.strategies.codec.public_base import PublicBase, shared_context
from fedtailor.strategies.codec.shared_only import shared_part
from fedtailor.strategies.models.model import initial_state

RECORD = "fedtailor"
PAYLOADS = {FALLBACK: b"fp32" * 100, "int8": b"int8" * 25, "x8": b"half" * 7}


class Vanish(Exception):  # noqa: N818 - not an error: the device never answers
    """Raised by a scripted device to say nothing at all."""


class FakeTime:
    """A clock that moves only when somebody sleeps; `at` runs functions once their time has come."""

    def __init__(self):
        self.now_s = 0.0
        self.at = []
        self.clock = Clock(now=self._now, sleep=self._sleep, wall_now=self._now)

    def _now(self):
        return self.now_s

    def _sleep(self, seconds):
        assert seconds > 0
        self.now_s += seconds
        for due in [entry for entry in self.at if entry[0] <= self.now_s]:
            self.at.remove(due)
            due[1]()


class ScriptedGrid(Grid):
    """Node id to a function from message to content; what it raises becomes Flower's Error reply."""

    def __init__(self, handlers: dict[int, Callable[[Message], RecordDict]]):
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
        self.handlers = handlers
        self.sent = []
        self.extra = []
        self._ids = count(1)
        self._replies = {}
        self._run = Run.create_empty(1)

    def set_run(self, run):
        self._run = run

    @property
    def run(self):
        return self._run

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self):
        return list(self.handlers)

    def push_messages(self, messages):
        return [self._push(message) for message in messages]

    def _push(self, message):
        if message.metadata.dst_node_id not in self.handlers:
            return None
        message.metadata.__dict__["_message_id"] = message_id = str(next(self._ids))
        self.sent.append(message)
        try:
            content = self.handlers[message.metadata.dst_node_id](message)
            self._replies[message_id] = Message(content, reply_to=message)
        except Vanish:
            pass
        except Exception as error:
            self._replies[message_id] = Message(Error(2, f"{type(error)}:<'{error}'>"), reply_to=message)
        return message_id

    def pull_messages(self, message_ids):
        come = [self._replies.pop(each) for each in message_ids if each in self._replies]
        extra, self.extra = self.extra, []
        return [*come, *extra]

    def send_and_receive(self, messages, *, timeout=None):
        return self.pull_messages(self.push_messages(messages))


class ScriptedDevice:
    """Moves the base towards a constant of its own; `on` maps message types to something to do instead."""

    def __init__(self, device_id, *, rows=100, pull=1.0):
        self.device_id = device_id
        self.rows = rows
        self.pull = pull
        self.on = {}
        self.orders = []
        self.held = {}

    def __call__(self, message):
        kind = message.metadata.message_type
        record = message.content.get(RECORD, {})
        if "instruction" in record:
            self.orders.append((kind, from_bytes(Instruction, record["instruction"], sender="server")))
            self.base()
        if kind in self.on:
            return self.on[kind](self, message)
        return getattr(self, kind.split(".")[-1])()

    @property
    def order(self):
        return self.orders[-1][1]

    def profile(self):
        return entry("profile", profile(self.device_id, self.rows))

    def train(self):
        return entry("train", self.train_reply())

    def train_reply(self):
        plan = self.order.plan
        base = self.base()
        shared = shared_part(base.state, plan.local_parameters)
        delta = [np.full_like(value, self.pull) - value for value in shared.values()]
        context = shared_context(base.context, plan.local_parameters)
        address = Address(
            device_id=self.device_id,
            round=plan.round,
            base_version=plan.base_version,
            context_version=base.context_version,
            codec=plan.codec,
        )
        rng = np.random.default_rng(plan.seed)
        return TrainReply(
            update=encode_update(delta, context, address, num_examples=self.rows, rng=rng),
            base_validation_score=0.5 + plan.round / 100,
            validation_rows=20,
            train_loss=1.0 / plan.round,
            train_cpu_s=0.1,
        )

    def base(self) -> PublicBase:
        """What the last order leads to; held from now on."""
        plan, broadcast = self.order.plan, self.order.base
        start = None if broadcast.held_version is None else self.held[broadcast.held_version]
        base = follow(start, broadcast, schema_of(initial_state(plan.model, 0)), plan.downlink)
        self.held[base.version] = base
        return base

    def tailor(self):
        return entry("tailor", TailorReply(ladder=self.ladder(), tailor_cpu_s=0.2, problems=()))

    def ladder(self):
        self.base()
        return Ladder(
            device_id=self.device_id,
            round=self.order.plan.round,
            base_version=self.order.base.base_version,
            base_hash=self.order.base.base_hash,
            personal_method=self.order.plan.personal.method,
            base_validation_score=0.8,
            personal_validation_score=0.9,
            reference=a_rung(FALLBACK, lost=0),
            rungs=(a_rung("int8", lost=0), a_rung("x8", lost=9)),
        )

    def evaluate(self):
        return entry("evaluate", self.evaluate_reply(a_rung("int8", lost=0) if self.rows else None))

    def evaluate_reply(self, chosen: Rung | None):
        scores = Scores(metric="accuracy", better="higher", rows=30, base=0.8, personal=0.9, variant=0.89)
        if chosen is None:
            return EvaluateReply(scores=scores, variant=None, payload=b"")
        variant = Variant(
            device_id=self.device_id,
            base_version=self.order.base.base_version,
            base_hash=self.order.base.base_hash,
            personal_method="finetune",
            rung=chosen,
            artifact_sha256=chosen.payload_sha256,
            parent=None,
            reason="the smallest",
        )
        return EvaluateReply(scores=scores, variant=variant, payload=PAYLOADS[chosen.recipe])


def entry(name, noun):
    """The content of a reply."""
    return RecordDict({RECORD: ConfigRecord({name: to_bytes(noun)})})


def a_rung(recipe, *, lost):
    payload = PAYLOADS[recipe]
    cost = efficiency(len(payload), 2 * len(payload), 1000, 20.0, hardware())
    made = rung(recipe, 1.0, "int8", cost, verdict(lost=lost, won=0), 0.88, 1.5)
    return replace(made, payload_sha256=hashlib.sha256(payload).hexdigest())


def profile(device_id, rows=100):
    moments = (0.0,) * 4 if rows else ()
    data = DataProfile(
        device_id=device_id,
        kind="classification",
        sample_shape=(4,),
        outputs=2,
        train_samples=rows,
        validation_samples=20,
        class_counts=(rows // 2, rows - rows // 2),
        feature_means=moments,
        feature_variances=tuple(value + 1 for value in moments),
    )
    return Profile(hardware=hardware(device_id, "watch"), data=data, budget=Budget(size_bytes=9000))


def fleet(*devices, first_node=11):
    """A grid over the devices, at consecutive node ids."""
    return ScriptedGrid({first_node + i: device for i, device in enumerate(devices)})
