from __future__ import annotations

import numpy as np
import pytest

from mal.report.contact_sheet import PAPER
from mal.report.mask_tile import CAPTION, SIDE, mask_tile


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
