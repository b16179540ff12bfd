from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mal.masks.rle import empty_rle, rle_from_mask, rle_from_window
from mal.report.contact_sheet import PAPER
from mal.report.mask_crop import CAPTION, LONGEST_SIDE, SIDE, crop_masks, mask_tile


def picture(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 90, dtype=np.uint8)


def block(height: int, width: int, x: int, y: int, w: int, h: int):
    return rle_from_window(np.ones((h, w), bool), x0=x, y0=y, image_width=width, image_height=height)


def test_the_crop_holds_box_and_masks_with_a_margin():
    crop = crop_masks(
        picture(100, 200), (50, 40, 20, 10), block(100, 200, 55, 42, 5, 5), [block(100, 200, 40, 40, 5, 5)]
    )
    assert crop.box[2:] == (20, 10)
    assert crop.box[0] > 10  # the second mask begins 10 pixels left of the box
    assert Image.open(io.BytesIO(base64.b64decode(crop.uri.partition(",")[2]))).size == (crop.width, crop.height)
    assert crop.width < 60
    assert crop.height < 30


def test_outlines_of_a_small_object_go_along_its_pixels():
    crop = crop_masks(picture(60, 60), (20, 20, 4, 2), block(60, 60, 20, 20, 4, 2), [])
    x, y = (round(side) for side in crop.box[:2])
    assert crop.truth == f"M{x} {y}L{x + 4} {y}L{x + 4} {y + 2}L{x} {y + 2}Z"


def test_a_hole_is_a_ring_of_its_own():
    mask = np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    mask[25:30, 25:30] = False
    crop = crop_masks(picture(60, 60), (20, 20, 20, 20), rle_from_mask(mask), [])
    assert crop.truth.count("M") == 2


def test_a_large_object_is_made_smaller_with_its_outline():
    true = block(900, 900, 100, 100, 700, 600)
    crop = crop_masks(picture(900, 900), (100, 100, 700, 600), true, [true])
    assert max(crop.width, crop.height) == LONGEST_SIDE
    width, height = crop.box[2:]
    points = [tuple(map(int, part.split())) for part in crop.truth.strip("MZ").split("L")]
    drawing = Image.new("L", (crop.width, crop.height))
    ImageDraw.Draw(drawing).polygon(points, fill=1)
    assert np.asarray(drawing).sum() == pytest.approx(width * height, rel=0.03)
    assert crop.masks == (crop.truth,)


def test_missing_and_empty_masks_stay_apart():
    crop = crop_masks(picture(50, 50), (10, 10, 20, 20), block(50, 50, 12, 12, 9, 9), [None, empty_rle(50, 50)])
    assert crop.masks == (None, "")


@pytest.mark.parametrize("xywh", [(-5, -5, 20, 20), (45, 40, 30, 30), (0.4, 0.2, 49.6, 49.8)])
def test_a_box_at_the_border_is_cut_off_there(xywh):
    crop = crop_masks(picture(50, 50), xywh, empty_rle(50, 50), [])
    assert 0 < crop.width <= 50
    assert 0 < crop.height <= 50


def tile(height: int = 40, width: int = 40, predicted=(), truth=()) -> np.ndarray:
    """A grey picture; masks are slices of it."""
    masks = []
    for part in (predicted, truth):
        mask = np.zeros((height, width), dtype=bool)
        if part:
            mask[part] = True
        masks.append(mask)
    picture = np.full((64, 64, 3), 100, dtype=np.uint8)
    return mask_tile(picture, *masks, (10.0, 10.0, 30.0, 30.0), iou=0.5, caption="small")


MIDDLE = np.s_[15:25, 15:25]


def test_every_tile_is_of_the_same_size():
    assert tile(40, 40).shape == tile(10, 40).shape == tile(200, 7).shape == (SIDE + CAPTION, SIDE, 3)


@pytest.mark.parametrize(("height", "width", "beside"), [(20, 40, (40, 160)), (40, 20, (160, 40))])
def test_a_picture_keeps_its_proportions_in_the_middle(height, width, beside):
    drawn = tile(height, width)
    assert tuple(drawn[beside]) == PAPER
    assert tuple(drawn[190, 190]) == (100, 100, 100)


def test_the_predicted_mask_is_tinted_and_the_rest_is_not():
    drawn = tile(predicted=MIDDLE)
    assert tuple(drawn[160, 160]) != (100, 100, 100)
    assert tuple(drawn[160, 100]) == (100, 100, 100)


def test_the_true_mask_is_a_white_line_at_its_edge():
    drawn = tile(truth=MIDDLE)
    scale = SIDE // 40
    assert tuple(drawn[160, 15 * scale + 1]) == (255, 255, 255)
    assert tuple(drawn[160, 15 * scale + 1 - 4]) == (100, 100, 100)
    assert tuple(drawn[160, 160]) == (100, 100, 100)


def test_the_box_is_framed_where_it_is():
    drawn = tile()
    scale = SIDE // 40
    assert tuple(drawn[10 * scale, 160]) != (100, 100, 100)
    assert tuple(drawn[10 * scale + 8, 160]) == (100, 100, 100)
