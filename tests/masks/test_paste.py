from __future__ import annotations

import tracemalloc

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mal.masks.paste import paste_mask
from mal.masks.rle import rle_area

IMAGE_SIZE = (640, 480)
spans = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)


def smooth(
    seed: int, side: int, rows: tuple[float, float] = (0, 1), columns: tuple[float, float] = (0, 1)
) -> np.ndarray:
    """Probabilities as a network gives them: coarse noise enlarged, 0 outside a box given in parts of the crop."""
    noise = torch.rand(1, 1, side // 4, side // 4, generator=torch.Generator().manual_seed(seed))
    prob = F.interpolate(noise, size=(side, side), mode="bilinear", align_corners=False)[0, 0]
    box = torch.zeros(side, side)
    (top, bottom), (left, right) = ([int(part * (side - 1)) for part in span] for span in (rows, columns))
    box[top : bottom + 1, left : right + 1] = 1
    return (prob * box).numpy()


def whole_frame(prob: np.ndarray, frame: tuple[int, int, int, int]) -> np.ndarray:
    """Probabilities in the image, from the whole frame resized at once; 0 outside the frame."""
    (x0, y0, x1, y1), (width, height) = frame, IMAGE_SIZE
    maps = torch.from_numpy(prob)[None, None]
    resized = F.interpolate(maps, size=(y1 - y0, x1 - x0), mode="bilinear", align_corners=False)[0, 0]
    image = torch.zeros(height, width)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    image[top:bottom, left:right] = resized[top - y0 : bottom - y0, left - x0 : right - x0]
    return image.numpy()


@settings(deadline=None, max_examples=200)
@given(
    seed=st.integers(0, 99),
    side=st.sampled_from([16, 60, 128]),
    rows=spans,
    columns=spans,
    x=st.integers(-300, 639),
    y=st.integers(-300, 479),
    width=st.integers(1, 900),
    height=st.integers(1, 900),
    threshold=st.sampled_from([0.0, 0.1, 0.5, 0.9]),
)
def test_a_mask_is_that_of_the_whole_frame_resized(seed, side, rows, columns, x, y, width, height, threshold):
    x, y = max(x, 1 - width), max(y, 1 - height)  # some of the frame is inside the image
    frame = (x, y, x + width, y + height)
    prob = smooth(seed, side, rows, columns)
    pasted = paste_mask(prob, frame, IMAGE_SIZE, threshold)
    expected = whole_frame(prob, frame)
    # Both round in float32, so a pixel may fall to the other side where its value is the threshold but for rounding.
    others = pasted.full() != (expected > threshold)
    assert np.abs(expected[others] - threshold).max(initial=0) < 1e-6


def test_the_window_is_the_part_of_the_frame_in_the_image():
    pasted = paste_mask(smooth(0, 16), (-5, 470, 25, 500), IMAGE_SIZE, 0.5)
    assert (pasted.x0, pasted.y0) == (0, 470)
    assert pasted.window.shape == (10, 25)


def test_a_crop_without_a_probability_above_the_threshold_is_an_empty_mask():
    for prob in (np.zeros((16, 16), np.float32), np.full((16, 16), 0.1, np.float32)):
        pasted = paste_mask(prob, (0, 0, 50, 50), IMAGE_SIZE, 0.5)
        assert rle_area(pasted.rle()) == 0


def test_a_mask_of_48_megapixels_takes_little_memory_beside_its_window():
    prob = smooth(0, 64)
    tracemalloc.start()
    pasted = paste_mask(prob, (-1000, -1000, 9000, 7000), (8000, 6000), 0.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pasted.window.nbytes == 48_000_000
    assert peak < 1.3 * pasted.window.nbytes
