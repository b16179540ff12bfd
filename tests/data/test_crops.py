from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.data import crops
from mal.data.crops import (
    crop_box_mask,
    crop_frame,
    crop_image,
    crop_planes,
    label_margins,
    margins_from_draws,
    random_margins,
)
from mal.masks.paste import paste_mask
from mal.ops.compiled import fast_module

WIDTH, HEIGHT = 40, 30


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def reflected(coordinate: int, length: int) -> int:
    """Walk along the axis and turn round at each end."""
    position, step = 0, 1
    for _ in range(abs(coordinate)):
        if length > 1 and not 0 <= position + step < length:
            step = -step
        position += step if length > 1 else 0
    return position


frames = st.tuples(st.integers(-60, 50), st.integers(-60, 50), st.integers(1, 90))


@given(frame=frames)
def test_wrap_is_indexing_modulo_the_size(frame):
    x0, y0, side = frame
    image = picture()
    crop = crop_image(image, (x0, y0, x0 + side, y0 + side), side, "wrap")
    rows, columns = np.arange(y0, y0 + side) % HEIGHT, np.arange(x0, x0 + side) % WIDTH
    assert np.array_equal(crop, image[rows][:, columns])


@settings(max_examples=40, deadline=None)
@given(frame=frames)
def test_reflect_turns_round_at_the_border_as_often_as_it_takes(frame):
    x0, y0, side = frame
    image = picture()
    crop = crop_image(image, (x0, y0, x0 + side, y0 + side), side, "reflect")
    rows = [reflected(row, HEIGHT) for row in range(y0, y0 + side)]
    columns = [reflected(column, WIDTH) for column in range(x0, x0 + side)]
    assert np.array_equal(crop, image[rows][:, columns])


@pytest.mark.parametrize("border", ["wrap", "reflect"])
def test_an_image_of_one_pixel_can_be_cropped(border):
    image = np.full((1, 1, 3), 7, dtype=np.uint8)
    assert (crop_image(image, (-3, -3, 4, 4), 16, border) == 7).all()


def test_a_grey_image_stays_one_channel():
    assert crop_image(picture()[..., 0], (0, 0, 20, 20), 8).shape == (8, 8)


needs_numba = pytest.mark.skipif(fast_module("crop_numba") is None, reason="needs numba")
wide_frames = st.tuples(st.integers(-60, 50), st.integers(-60, 50), st.integers(1, 120), st.integers(1, 240))


@needs_numba
@settings(max_examples=150, deadline=None)
@given(frame=wide_frames, size=st.integers(1, 70), border=st.sampled_from(["wrap", "reflect"]), mirrored=st.booleans())
def test_planes_hold_the_very_numbers_of_pillow(frame, size, border, mirrored):
    x0, y0, width, height = frame
    box = (x0, y0, x0 + width, y0 + height)
    expected = crop_image(picture(), box, size, border).transpose(2, 0, 1)
    ours = crop_planes(picture(), box, size, border, mirrored=mirrored)
    assert np.array_equal(ours[:, :, ::-1] if mirrored else ours, expected)


@needs_numba
@pytest.mark.parametrize("mirrored", [False, True])
def test_planes_are_the_same_without_numba(monkeypatch, mirrored):
    fast = crop_planes(picture(), (-3, 2, 25, 50), 20, mirrored=mirrored)
    monkeypatch.setattr(crops, "fast_module", lambda name: None)
    plain = crop_planes(picture(), (-3, 2, 25, 50), 20, mirrored=mirrored)
    assert np.array_equal(fast, plain)
    assert plain.flags.c_contiguous


def test_the_image_is_left_as_it_was_even_when_read_only():
    image = picture()
    image.setflags(write=False)
    crop_image(image, (-5, -5, 20, 20), 16)
    crop_image(image, (5, 5, 20, 20), 16)
    crop_planes(image, (-5, -5, 20, 20), 16)
    assert np.array_equal(image, picture())


def boxes() -> st.SearchStrategy[tuple[float, float, float, float]]:
    def box(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        return x, y, min(x + width, WIDTH), min(y + height, HEIGHT)

    return st.builds(box, st.floats(0, WIDTH - 2), st.floats(0, HEIGHT - 2), st.floats(1, 40), st.floats(1, 30))


@given(box=boxes())
def test_a_box_mask_of_the_frame_s_own_size_is_the_box_with_both_end_pixels(box):
    x0, y0, x1, y1 = box
    frame = (int(x0) - 3, int(y0) - 3, int(x0) + 47, int(y0) + 47)
    mask = crop_box_mask(box, frame, (WIDTH, HEIGHT), 50)
    expected = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    expected[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = 1
    padded = np.pad(expected, 60)
    assert np.array_equal(mask, padded[frame[1] + 60 : frame[3] + 60, frame[0] + 60 : frame[2] + 60])


@settings(max_examples=100, deadline=None)
@given(box=boxes())
def test_a_box_cut_out_and_pasted_back_gives_its_own_pixels(box):
    frame = crop_frame(box, label_margins([0.6, 0.6]))
    size = 256
    mask = crop_box_mask(box, frame, (WIDTH, HEIGHT), size).astype(np.float32)
    pasted = paste_mask(mask, frame, (WIDTH, HEIGHT), 0.5)
    x0, y0, x1, y1 = box
    expected = np.zeros((HEIGHT, WIDTH), dtype=bool)
    expected[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = True
    assert np.array_equal(pasted.full(), expected)


@settings(max_examples=100, deadline=None)
@given(x=st.floats(0, WIDTH, exclude_max=True), y=st.floats(0, HEIGHT, exclude_max=True))
def test_a_box_however_thin_at_the_border_can_be_cut_out_and_pasted(x, y):
    box = (x, y, float(WIDTH), float(HEIGHT))
    frame = crop_frame(box, label_margins([0.6, 0.6]))
    crop_image(picture(), frame, 32)
    mask = crop_box_mask(box, frame, (WIDTH, HEIGHT), 32).astype(np.float32)
    rle = paste_mask(mask, frame, (WIDTH, HEIGHT), 0.1).rle()
    assert rle["size"] == [HEIGHT, WIDTH]


corner = st.floats(0, 500)
extent = st.floats(1, 500)
margins = st.tuples(*[st.floats(0, 1.2)] * 4)


@given(x=corner, y=corner, width=extent, height=extent, margins=margins)
def test_the_frame_holds_the_box_as_single_precision_has_it(x, y, width, height, margins):
    box = np.float32([x, y, x + width, y + height])
    x0, y0, x1, y1 = crop_frame((x, y, x + width, y + height), margins)
    assert x0 <= box[0]
    assert y0 <= box[1]
    assert x1 >= box[2]
    assert y1 >= box[3]


def test_each_margin_moves_its_own_side_by_a_part_of_half_the_extent():
    box = (100.0, 200.0, 140.0, 260.0)
    assert crop_frame(box, (0, 0, 0, 0)) == (100, 200, 141, 261)
    assert crop_frame(box, (1, 0, 0, 0)) == (80, 200, 141, 261)
    assert crop_frame(box, (0, 1, 0, 0)) == (100, 170, 141, 261)
    assert crop_frame(box, (0, 0, 1, 0)) == (100, 200, 161, 261)
    assert crop_frame(box, (0, 0, 0, 1)) == (100, 200, 141, 291)


def test_labelling_takes_half_the_first_rate_on_every_side():
    assert label_margins([0.6, 0.2]) == (0.3, 0.3, 0.3, 0.3)


@given(seed=st.integers(0, 10**6), low=st.floats(0, 1), width=st.floats(0, 1))
def test_random_margins_of_opposite_sides_share_one_margin(seed, low, width):
    left, top, right, bottom = random_margins(np.random.default_rng(seed), [low, low + width])
    highest = low + width + 1e-9
    assert all(0 <= margin <= highest for margin in (left, top, right, bottom))
    assert left + right <= highest
    assert top + bottom <= highest


def test_a_gate_of_1_gives_all_to_the_left_and_the_top():
    drawn = margins_from_draws(np.full(4, 0.5), np.array([1.0, 0.0]), [0.0, 1.2])
    assert drawn == pytest.approx((0.6, 0.0, 0.0, 0.6))
