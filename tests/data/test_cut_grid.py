from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.data.crops import crop_box_mask, crop_frame, crop_planes
from mal.data.cut_grid import WINDOW_SIDE, CutGrid

PHOTO = (300, 200)  # width, height


@st.composite
def grids(draw) -> CutGrid:
    """The grid of a box anywhere in a photo, with a training crop of it."""
    width, height = draw(st.floats(3, 250)), draw(st.floats(3, 180))
    x0, y0 = draw(st.floats(0, PHOTO[0] - width)), draw(st.floats(0, PHOTO[1] - height))
    box = (x0, y0, x0 + width, y0 + height)
    frame = crop_frame(box, draw(st.tuples(*4 * [st.floats(0, 1.2)])))
    return CutGrid.around(box, PHOTO, frame, mirrored=draw(st.booleans()))


def centers(start: float, end: float, count: int) -> np.ndarray:
    """Places of pixel centers between two places; from right to left if the end comes first."""
    return start + (np.arange(count) + 0.5) * (end - start) / count


@given(grids())
def test_a_grid_lies_in_the_photo_around_its_box_and_is_never_enlarged(grid):
    x0, y0, x1, y1 = grid.extent
    assert 0 <= x0 <= grid.box[0] < grid.box[2] <= x1 <= PHOTO[0]
    assert 0 <= y0 <= grid.box[1] < grid.box[3] <= y1 <= PHOTO[1]
    assert 1 <= grid.size[0] <= min(x1 - x0, WINDOW_SIDE)
    assert 1 <= grid.size[1] <= min(y1 - y0, WINDOW_SIDE)
    assert max(grid.size) == min(max(x1 - x0, y1 - y0), WINDOW_SIDE)


@given(grids())
def test_a_grid_does_not_depend_on_the_crop(grid):
    other = CutGrid.around(grid.box, PHOTO, crop_frame(grid.box, (0, 0, 0, 0)))
    assert (other.extent, other.size) == (grid.extent, grid.size)


@given(grids(), st.sampled_from([8, 40, 64]))
def test_values_keep_their_place_in_the_photo_on_the_way_to_the_crop(grid, side):
    x0, y0, x1, y1 = grid.extent
    columns, rows = centers(x0, x1, grid.size[0]), centers(y0, y1, grid.size[1])
    for axis, places in ((0, np.broadcast_to(columns, grid.size[::-1])), (1, rows[:, None] + 0 * columns)):
        got = grid.to_crop(places.astype(np.float32), side)
        wanted = [centers(grid.crop[each], grid.crop[each + 2], side) for each in (0, 1)]
        seen = np.outer(within(wanted[1], rows), within(wanted[0], columns))
        both = np.stack(np.meshgrid(*wanted))[axis]
        np.testing.assert_allclose(got[seen], both[seen], atol=0.05)


@given(grids(), st.sampled_from([8, 40, 64]))
def test_values_keep_their_place_in_the_photo_on_the_way_from_the_crop(grid, side):
    x0, y0, x1, y1 = grid.extent
    columns = centers(grid.crop[0], grid.crop[2], side)
    got = grid.from_crop(np.broadcast_to(columns, (side, side)).astype(np.float32))
    wanted = np.broadcast_to(centers(x0, x1, grid.size[0]), got.shape)
    rows = centers(grid.crop[1], grid.crop[3], side)
    seen = np.outer(within(centers(y0, y1, grid.size[1]), rows), within(wanted[0], columns))
    np.testing.assert_allclose(got[seen], wanted[seen], atol=0.05)


def within(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which places lie between the first and the last of others."""
    return (places > others.min()) & (places < others.max())


@given(grids())
def test_the_box_of_the_grid_is_the_box_of_the_crop_but_for_its_border(grid):
    side = 48
    x0, y0, x1, y1 = grid.crop
    in_crop = crop_box_mask(grid.box, (min(x0, x1), y0, max(x0, x1), y1), PHOTO, side)
    in_crop = in_crop[:, ::-1] if x0 > x1 else in_crop
    ours = grid.to_crop(grid.inside.astype(np.float32), side) > 0.5
    photo_pixel, grid_pixel = side / abs(x1 - x0), (grid.extent[2] - grid.extent[0]) / grid.size[0]
    slack = 2 + 2 * photo_pixel * max(grid_pixel, 1)
    for axis in (0, 1):
        spans = [np.flatnonzero(mask.any(axis=axis)) for mask in (in_crop > 0, ours)]
        if len(spans[1]):
            assert abs(spans[0][0] - spans[1][0]) <= max(slack, 2 + 2 * side / (y1 - y0) * max(grid_pixel, 1))


@given(grids())
def test_the_ellipse_lies_in_the_box_and_touches_its_sides(grid):
    ellipse = grid.ellipse()
    assert ((ellipse >= 0) & (ellipse < 1)).all()
    assert not ellipse[~grid.inside].any()
    share = (ellipse > 0.5).sum() / grid.inside.sum()
    if min(grid.inside.any(axis=0).sum(), grid.inside.any(axis=1).sum()) >= 20:
        assert share == pytest.approx(np.pi / 4, abs=0.08)


def test_pixels_of_a_small_box_are_those_of_the_photo():
    photo = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    grid = CutGrid.around((100.0, 50.0, 120.0, 65.0), PHOTO, (100, 50, 121, 66))
    x0, y0, x1, y1 = grid.extent
    assert (grid.pixels(photo) == photo[y0:y1, x0:x1]).all()


@pytest.mark.parametrize("mirrored", [False, True])
def test_crop_and_grid_show_the_same_photo(mirrored):
    rows, columns = np.mgrid[0:200, 0:300]
    photo = np.stack([rows, columns // 2, 255 - rows], axis=2).astype(np.uint8)  # smooth
    box = (60.0, 40.0, 160.0, 140.0)
    frame = crop_frame(box, (0.3, 0.2, 0.6, 0.4))
    crop = crop_planes(photo, frame, 64, mirrored=mirrored)
    grid = CutGrid.around(box, PHOTO, frame, mirrored=mirrored)
    ours = grid.to_crop(np.ascontiguousarray(grid.pixels(photo)[..., 1]).astype(np.float32), 64)
    np.testing.assert_allclose(ours[2:-2, 2:-2], crop[1, 2:-2, 2:-2], atol=2)


@pytest.mark.parametrize("box", [(10.0, 10.0, 10.4, 90.0), (0.0, 0.0, 0.2, 0.2), (299.7, 199.7, 300.0, 200.0)])
def test_a_box_thinner_than_a_pixel_has_a_pixel(box):
    grid = CutGrid.around(box, PHOTO, crop_frame(box, (0, 0, 0, 0)))
    assert grid.inside.any()
    assert np.isfinite(grid.ellipse()).all()
