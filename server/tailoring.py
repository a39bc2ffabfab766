"""After the rounds: every device tailors its variant, the fleet's evidence is pooled, and what runs is recorded."""

import hashlib
from collections.abc import Collection, Sequence
from math import isfinite

from flwr.app import RecordDict

from fedtailor.protos.errors import DecodeError
from fedtailor.protos.messages import EvaluateReply, TailorReply
from fedtailor.protos.variant import Variant
from fedtailor.protos.verdict import NOT_SHOWN_WORSE, PROVEN, REJECTED, Verdict
from fedtailor.server.base import Base
from fedtailor.server.content import read_reply

TAILOR, EVALUATE = "train.tailor", "evaluate"


def read_ladder(content: RecordDict, device_id: str, base: Base, recipes: Collection[str]) -> TailorReply:
    """A device's ladder, checked as far as the server can.

    Raises:
        DecodeError: of another device or base, a rung is none of `recipes`, or its evidence cannot be.
    """
    sender = f"device {device_id}, tailor"
    reply = read_reply(content, "tailor", TailorReply, sender=sender)
    ladder = reply.ladder
    _check_origin(sender, device_id, base, got=(ladder.device_id, ladder.base_version, ladder.base_hash))
    for rung in ladder.rungs:
        if rung.recipe not in recipes:
            raise DecodeError(f"{sender}: rung {rung.recipe!r} came, expected one of {', '.join(recipes)}")
        _check_verdict(rung.verdict, f"{sender}, rung {rung.recipe!r}")
    return reply


def read_evaluation(content: RecordDict, device_id: str, base: Base, withdrawn: Sequence[str]) -> EvaluateReply:
    """A device's test scores and the variant it deployed.

    Raises:
        DecodeError: the variant is of another device or base, its payload is not the one its manifest names, or it
            must not run: rejected by the gate, or withdrawn by the fleet.
    """
    sender = f"device {device_id}, evaluate"
    reply = read_reply(content, "evaluate", EvaluateReply, sender=sender)
    if reply.variant is not None:
        _check_variant(reply.variant, reply.payload, sender, withdrawn)
        got = (reply.variant.device_id, reply.variant.base_version, reply.variant.base_hash)
        _check_origin(sender, device_id, base, got=got)
    return reply


def _check_origin(sender: str, device_id: str, base: Base, *, got: tuple[str, int, str]) -> None:
    want = (device_id, base.version, base.public.hash)
    for name, theirs, ours in zip(("device", "base version", "base hash"), got, want, strict=True):
        if theirs != ours:
            raise DecodeError(f"{sender}: {name} {theirs!r} came, expected {ours!r}; its answer is not kept")


def _check_verdict(verdict: Verdict, where: str) -> None:
    counts = (verdict.rows, verdict.reference_only, verdict.variant_only)
    numbers = (verdict.drop, verdict.bound, verdict.margin, verdict.confidence)
    sound = verdict.verdict in (PROVEN, NOT_SHOWN_WORSE, REJECTED) and min(counts) >= 0
    if not (sound and all(map(isfinite, numbers)) and 0 < verdict.confidence < 1):
        raise DecodeError(f"{where}: a verdict that cannot be: {verdict}; its ladder is not kept")


def _check_variant(variant: Variant, payload: bytes, sender: str, withdrawn: Sequence[str]) -> None:
    rung = variant.rung
    _check_verdict(rung.verdict, f"{sender}, variant {rung.recipe!r}")
    if (sha256 := hashlib.sha256(payload).hexdigest()) != rung.payload_sha256:
        raise DecodeError(
            f"{sender}: the payload has SHA-256 {sha256[:12]}…, its manifest {rung.payload_sha256[:12]!r}…; refused"
        )
    if rung.verdict.verdict == REJECTED:
        raise DecodeError(f"{sender}: deployed {rung.recipe!r}, which the gate rejected; refused")
    if rung.recipe in withdrawn:
        raise DecodeError(f"{sender}: deployed {rung.recipe!r}, which the fleet has withdrawn; refused")
