from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.metrics.box_noise import KINDS, LEVELS, NOISY, noise_figures, noisy_boxes

BOXES = np.array([[100.0, 100, 200, 140], [40, 60, 50, 160], [300, 300, 340, 340]])
POSITIONS = np.array([0, 7, 3])
SIZES = np.full((3, 2), 1000)


def parts(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres and sizes."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]


def noisy(kind: str, level: float, boxes: np.ndarray = BOXES, positions: np.ndarray = POSITIONS) -> np.ndarray:
    return noisy_boxes(boxes, positions, SIZES[: len(boxes)], kind, level)


@pytest.mark.parametrize("level", LEVELS)
def test_a_shift_moves_a_box_by_up_to_its_share_and_keeps_its_size(level):
    (center, size), (moved, kept) = parts(BOXES), parts(noisy("shift", level))
    assert kept == pytest.approx(size)
    assert (np.abs(moved - center) <= level * size).all()
    assert (moved != center).all()


@pytest.mark.parametrize("level", LEVELS)
def test_a_scale_keeps_the_centre_and_changes_each_side_by_up_to_its_factor(level):
    (center, size), (kept, changed) = parts(BOXES), parts(noisy("scale", level))
    assert kept == pytest.approx(center)
    assert (np.abs(np.log(changed / size)) <= np.log(1 + level)).all()


def test_both_is_the_shift_and_the_scale_together():
    assert parts(noisy("both", 0.1))[0] == pytest.approx(parts(noisy("shift", 0.1))[0])
    assert parts(noisy("both", 0.1))[1] == pytest.approx(parts(noisy("scale", 0.1))[1])


def test_an_annotation_has_the_same_noise_whatever_else_is_measured():
    assert np.array_equal(noisy("both", 0.1)[1:], noisy("both", 0.1, BOXES[1:], POSITIONS[1:]))


def test_more_noise_goes_farther_the_same_way():
    start = parts(BOXES)[0]
    little, much = (parts(noisy("shift", level))[0] - start for level in (0.05, 0.2))
    assert much == pytest.approx(4 * little)


@given(
    box=st.tuples(st.floats(0, 60), st.floats(0, 60), st.floats(0.01, 4), st.floats(0.01, 4)),
    position=st.integers(0, 2**31),
    kind=st.sampled_from(KINDS),
)
def test_a_noisy_box_keeps_an_extent_inside_its_image(box, position, kind):
    x, y, width, height = box
    boxes = np.array([[x, y, x + width, y + height]])
    (found,) = noisy_boxes(boxes, np.array([position]), np.array([[64, 64]]), kind, LEVELS[-1])
    assert 0 <= found[0] < found[2] <= 64
    assert 0 <= found[1] < found[3] <= 64


def test_figures_are_means_over_boxes_with_an_interval_where_there_are_several_images():
    table = np.array([(0, 0, (0.4, 0.2, 0.3)), (1, 5, (0.8, 0.6, 0.5))], NOISY)
    found = noise_figures(0.1, table)
    assert (found.model, found.box, found.ellipse) == pytest.approx((0.6, 0.4, 0.4))
    assert found.model_minus_ellipse == pytest.approx(0.2)
    assert found.model_interval == pytest.approx((0.4, 0.8))
    assert noise_figures(0.1, table[:1]).model_interval is None
