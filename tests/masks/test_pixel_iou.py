from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mal.masks.pixel_iou import pixel_iou
from mal.masks.rle import rle_from_mask
from mal.metrics.iou import mask_iou

MASKS = arrays(np.bool_, (5, 7), elements=st.booleans())


@given(MASKS, MASKS)
def test_it_is_that_of_the_run_lengths(first, second):
    if not first.any() and not second.any():
        assert pixel_iou(first, second) == 1
    else:
        assert pixel_iou(first, second) == pytest.approx(mask_iou(rle_from_mask(first), rle_from_mask(second)))
