from fedtailor.strategies.choice.choice import Candidate
from fedtailor.strategies.choice.tagged import tagged

TILL = Candidate(device_id="a", rows=1, tags=("till", "north"))
CAMERA = Candidate(device_id="b", rows=1, tags=("camera",))
BARE = Candidate(device_id="c", rows=1)


def test_any_of_the_tags_is_enough_and_without_tags_all_may_be_asked():
    fleet = [TILL, CAMERA, BARE]
    assert tagged(fleet, ("till",)) == [TILL]
    assert tagged(fleet, ("north", "camera")) == [TILL, CAMERA]
    assert tagged(fleet, ("kiosk",)) == []
    assert tagged(fleet, ()) == fleet
