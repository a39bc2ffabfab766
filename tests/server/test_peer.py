"""What an exchange tells of the devices asked."""

from fedtailor.server.peer import Peer, after_exchange, held_versions
from fedtailor.server.rounds import Exchange, Traffic


def test_who_answered_holds_the_base_who_refused_nothing_known_and_silence_changes_nothing():
    before = {name: Peer(acknowledged_round=2, held_version=3) for name in ("well", "broken", "silent", "not asked")}
    traffic = {"well": Traffic(answered=True), "broken": Traffic(refused=True), "silent": Traffic(), "new": Traffic()}
    after = before | after_exchange(before, Exchange(traffic), 7)
    assert held_versions(after) == {"well": 7, "broken": None, "silent": 3, "not asked": 3}
    assert all(peer.acknowledged_round == 2 for peer in after.values())


def test_a_device_that_answers_for_the_first_time_is_known_from_then_on():
    assert after_exchange({}, Exchange({"new": Traffic(answered=True)}), 0) == {"new": Peer(held_version=0)}
