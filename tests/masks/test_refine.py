"""Graph cut of a mask in its crop, and back into the photo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.data.crops import crop_box_mask, crop_image
from mal.masks.paste import paste_mask
from mal.masks.postprocess import PostprocessOptions, postprocess_mask
from mal.masks.refine import CropPixels, graph_cut_mask

WIDTH, HEIGHT = 160, 120


def photo(center: tuple[float, float], radius: float, seed: int = 0):
    """A disc on a ground of another color, with some noise: (H, W, 3) uint8 and the true mask."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    truth = np.hypot(columns - center[0], rows - center[1]) < radius
    image = np.where(truth[..., None], (200, 70, 40), (60, 110, 150)) + np.random.default_rng(seed).normal(
        0, 8, (HEIGHT, WIDTH, 3)
    )
    return np.clip(image, 0, 255).astype(np.uint8), truth


def crop_of(image, box, size=64, margin=6):
    """A crop around a box, its frame, and probabilities of a disc somewhat too small in it."""
    x0, y0, x1, y1 = box
    frame = int(x0) - margin, int(y0) - margin, int(x1) + margin, int(y1) + margin
    pixels = np.ascontiguousarray(crop_image(image, frame, size, "wrap"))
    box_mask = crop_box_mask(box, frame, (WIDTH, HEIGHT), size)
    rows, columns = np.mgrid[:size, :size] + 0.5
    x = frame[0] + columns / size * (frame[2] - frame[0])
    y = frame[1] + rows / size * (frame[3] - frame[1])
    radius = np.hypot((x - (x0 + x1) / 2) / (x1 - x0), (y - (y0 + y1) / 2) / (y1 - y0)) * 2
    prob = (1 / (1 + np.exp(-4 * (0.8 - radius))) * box_mask).astype(np.float32)
    return prob, CropPixels(pixels.transpose(2, 0, 1), box_mask), frame


def iou(first, second):
    return (first & second).sum() / max((first | second).sum(), 1)


@pytest.mark.parametrize("radius", [6, 12, 40])
@pytest.mark.parametrize("size", [64, 224])
def test_an_object_smaller_or_larger_than_its_crop_is_found(radius, size):
    image, truth = photo((70, 58), radius)
    prob, pixels, frame = crop_of(image, (70 - radius, 58 - radius, 70 + radius, 58 + radius), size)
    found = graph_cut_mask(prob, pixels, frame, (WIDTH, HEIGHT), 0.5).full()
    before = paste_mask(prob, frame, (WIDTH, HEIGHT), 0.5).full()
    assert iou(found, truth) > 0.93 > iou(before, truth)


def test_what_a_wrapped_crop_shows_beyond_the_photo_is_no_surroundings():
    image, truth = photo((0, 60), 30)
    image[:, -40:] = (200, 70, 40)  # the far side has the object's color
    prob, pixels, frame = crop_of(image, (0, 30, 30, 90), margin=20)
    assert iou(graph_cut_mask(prob, pixels, frame, (WIDTH, HEIGHT), 0.5).full(), truth) > 0.9


@st.composite
def boxes(draw):
    """Boxes anywhere in the photo, down to a fraction of a pixel."""
    x0, y0 = draw(st.floats(0, WIDTH - 0.5)), draw(st.floats(0, HEIGHT - 0.5))
    width, height = draw(st.floats(0.3, WIDTH)), draw(st.floats(0.3, HEIGHT))
    return x0, y0, min(x0 + width, WIDTH), min(y0 + height, HEIGHT)


@settings(max_examples=60)
@given(box=boxes(), size=st.sampled_from([32, 64]), threshold=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_a_refined_mask_lies_where_the_plain_one_does(box, size, threshold):
    image, _ = photo((70, 58), 30)
    prob, pixels, frame = crop_of(image, box, size)
    refined = graph_cut_mask(prob, pixels, frame, (WIDTH, HEIGHT), threshold)
    plain = paste_mask(prob, frame, (WIDTH, HEIGHT), threshold)
    assert (refined.x0, refined.y0, refined.window.shape) == (plain.x0, plain.y0, plain.window.shape)
    assert refined.window.dtype == np.bool_


def test_cleaning_follows_the_refinement():
    image, _ = photo((70, 58), 25)
    image[38:50, 63:77] = (60, 110, 150)  # a hole of the ground's color
    box = (45, 33, 95, 83)
    prob, pixels, frame = crop_of(image, box, 128)
    prob[23:47, 49:78] = 0.05
    options = {"box_xyxy": box, "box_area": 2500.0, "thresholds": [0.5], "cut_on": pixels}
    holed = postprocess_mask(prob, frame, (WIDTH, HEIGHT), **options)
    filled = postprocess_mask(prob, frame, (WIDTH, HEIGHT), cleaning=PostprocessOptions(fill_holes=1), **options)
    assert not holed.full()[44, 70]
    assert filled.full()[44, 70]
