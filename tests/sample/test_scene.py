from __future__ import annotations

import numpy as np
import pytest

from mal.sample.scene import MIN_SIDE, Scene, scene, tight_box
from mal.sample.shapes import CATEGORY_NAMES


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene(np.random.default_rng(seed)) for seed in range(40)]


def test_one_generator_state_gives_one_scene():
    first, second = (scene(np.random.default_rng(5), 120, 90) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.masks, second.masks)
    assert first.category_ids == second.category_ids


def test_pictures_masks_and_boxes_have_the_shapes_that_the_scene_promises(scenes):
    for drawn in scenes:
        assert drawn.image.shape == (192, 256, 3)
        assert drawn.image.dtype == np.uint8
        assert all(mask.shape == (192, 256) and mask.dtype == np.bool_ for mask in drawn.masks)
        assert 1 <= len(drawn.masks) <= 7
        assert len(drawn.masks) == len(drawn.category_ids) == len(drawn.boxes_xyxy)


def test_no_pixel_belongs_to_two_objects(scenes):
    for drawn in scenes:
        assert np.sum(drawn.masks, axis=0).max() == 1


def test_boxes_touch_their_masks_on_all_four_sides(scenes):
    for drawn in scenes:
        for mask, (x0, y0, x1, y1) in zip(drawn.masks, drawn.boxes_xyxy.astype(int), strict=True):
            window = mask[y0:y1, x0:x1]
            assert window.sum() == mask.sum()
            assert window[0].any()
            assert window[-1].any()
            assert window[:, 0].any()
            assert window[:, -1].any()


def test_no_box_is_too_small_to_learn_from(scenes):
    sides = np.concatenate([drawn.boxes_xyxy[:, 2:] - drawn.boxes_xyxy[:, :2] for drawn in scenes])
    assert sides.min() >= MIN_SIDE


def test_every_class_occurs(scenes):
    seen = {category for drawn in scenes for category in drawn.category_ids}
    assert seen == set(range(1, len(CATEGORY_NAMES) + 1))


def test_rings_show_what_lies_behind_them(scenes):
    ring = CATEGORY_NAMES.index("ring") + 1
    alone = [
        (mask, box.astype(int))
        for drawn in scenes
        for mask, category, box in zip(drawn.masks, drawn.category_ids, drawn.boxes_xyxy, strict=True)
        if category == ring
    ]
    hollow = [not mask[(y0 + y1) // 2, (x0 + x1) // 2] for mask, (x0, y0, x1, y1) in alone]
    assert np.mean(hollow) > 0.8  # the centre of an occluded ring's box may lie on the ring


def test_boxes_overlap_where_objects_hide_each_other(scenes):
    overlapping = 0
    for drawn in scenes:
        for front in range(1, len(drawn.masks)):
            x0, y0, x1, y1 = drawn.boxes_xyxy[front].astype(int)
            overlapping += any(back[y0:y1, x0:x1].any() for back in drawn.masks[:front])
    assert overlapping > len(scenes)


def test_neither_the_filled_box_nor_the_inscribed_ellipse_is_a_good_mask(scenes):
    box_iou, ellipse_iou = [], []
    for drawn in scenes:
        for mask, (x0, y0, x1, y1) in zip(drawn.masks, drawn.boxes_xyxy.astype(int), strict=True):
            y, x = np.mgrid[y0:y1, x0:x1] + 0.5
            ellipse = ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 <= 1
            window = mask[y0:y1, x0:x1]
            box_iou.append(window.mean())
            ellipse_iou.append((window & ellipse).sum() / (window | ellipse).sum())
    assert 0.45 < np.mean(box_iou) < 0.6
    assert 0.5 < np.mean(ellipse_iou) < 0.65


def test_colours_jump_at_contours_and_stay_inside_objects(scenes):
    """The pairwise term of the loss sees edges of colour only, so that contours must have them."""
    across, within = [], []
    for drawn in scenes:
        picture = drawn.image.astype(float)
        steps = np.linalg.norm(picture[:, 3:] - picture[:, :-3], axis=2)
        for mask in drawn.masks:
            left, right = mask[:, :-3], mask[:, 3:]
            across.append(np.median(steps[left != right]))
            within.append(np.median(steps[left & right]))
    assert np.quantile(across, 0.1) > 3 * np.quantile(within, 0.9)


def test_a_tight_box_ends_one_pixel_after_the_mask():
    mask = np.zeros((6, 8), dtype=bool)
    mask[2:4, 1:7] = True
    assert tight_box(mask) == (1, 2, 7, 4)
