import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedtailor.simulations.place_labels import HEIGHT, LETTER, place_labels

WITHIN = (0.0, 400.0, 0.0, 300.0)


def box(label):
    width = LETTER * len(label.text)
    left = label.x - width * {"start": 0, "middle": 0.5, "end": 1}[label.anchor]
    return left, left + width, label.y - HEIGHT + 2, label.y + 2


def test_a_name_alone_stands_above_its_point():
    (label,) = place_labels(["x8"], [(200.0, 150.0)], radius=5, within=WITHIN)
    assert (label.x, label.anchor) == (200.0, "middle")
    assert label.y < 150.0 - 5


def test_a_name_at_the_edge_stays_inside():
    for point in [(200.0, 2.0), (398.0, 150.0), (1.0, 150.0)]:
        left, right, top, bottom = box(place_labels(["twenty"], [point], radius=5, within=WITHIN)[0])
        assert left >= 0
        assert right <= 400
        assert top >= 0
        assert bottom <= 300


@given(seed=st.integers(0, 999), count=st.integers(1, 6))
def test_names_of_points_with_room_around_them_never_overlap(seed, count):
    rng = np.random.default_rng(seed)
    places = rng.choice(16, count, replace=False)
    points = [(50.0 + 90 * (place % 4) + rng.uniform(-9, 9), 40.0 + 70 * (place // 4)) for place in places]
    boxes = [box(label) for label in place_labels(["x64-int8"] * count, points, radius=5, within=WITHIN)]
    for at, one in enumerate(boxes):
        for other in boxes[at + 1 :]:
            assert one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]


def test_four_points_in_one_place_have_four_places_for_their_names():
    labels = place_labels(["a1", "b2", "c3", "d4"], [(200.0, 150.0)] * 4, radius=5, within=WITHIN)
    assert len({(label.x, label.y) for label in labels}) == 4
