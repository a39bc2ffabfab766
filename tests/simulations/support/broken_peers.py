"""Peers that go wrong in every way, and one that echoes: spawned processes import them by name."""

import os
import time

from fedtailor.simulations.peers.peer import Peer


def _raises(task):
    raise ValueError("no such\noperator")


def _dies(task):
    os._exit(3)


def _sleeps(task):
    time.sleep(600)


def _echoes(task):
    print("chatter")
    return f"{os.environ['PEER_SAYS']} {task.validate(task.model):.3f}".encode()


def peer(name, quantise, package="numpy", **environment):
    return Peer(name=name, package=package, install="pip install it", quantise=quantise, environment=environment)


RAISES, DIES, SLEEPS = peer("raises", _raises), peer("dies", _dies), peer("sleeps", _sleeps)
ECHOES = peer("echoes", _echoes, PEER_SAYS="quality")
MISSING = peer("missing", _raises, package="a_package_that_nobody_has")
