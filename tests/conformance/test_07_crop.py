"""Frames of crops, and their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mal.data.crops import crop_box_mask, crop_frame, crop_image, crop_planes, label_margins, margins_from_draws
from tests.conformance.pack import assert_within, read_json, read_npz

SECTION = "crops"


@dataclass(frozen=True)
class Pixels:
    """The small image that all pixel cases are cut from."""

    cases: dict[str, list[dict[str, Any]]]
    arrays: dict[str, np.ndarray]

    @property
    def image_size(self) -> tuple[int, int]:
        height, width = self.arrays["gt"].shape
        return width, height


@pytest.fixture(scope="module")
def pixels(golden) -> Pixels:
    return Pixels(read_json(golden / "07_crop/pixels.json"), read_npz(golden / "07_crop/pixels.npz"))


@pytest.fixture(scope="module")
def photo(pack) -> dict[str, np.ndarray]:
    """The small image itself and its crops, which only the pack holds."""
    return pack.arrays("07_crop/pixels.npz")


def test_frames_for_labelling_are_those_of_the_public_code(golden):
    geometry = read_json(golden / "07_crop/test_geometry.json")
    margins = label_margins(geometry["test_margin_rate"])
    frames = [crop_frame(_xyxy(row["bbox"]), margins) for row in geometry["rows"]]
    assert [list(frame) for frame in frames] == [row["ext_box"] for row in geometry["rows"]]
    assert_within(
        SECTION, f"{len(frames)} frames", np.subtract(frames, [row["ext_box"] for row in geometry["rows"]]), 0
    )


def test_crops_for_labelling_have_the_pixels_of_the_public_code(pixels, photo):
    for case in pixels.cases["test"]:
        image = crop_image(photo["image"], case["ext_box"], case["crop"])
        expected = photo[f"{case['name']}_{case['crop']}_image"]
        assert_within(SECTION, "labelling, image", _difference(image, expected), 0)


def test_masks_and_box_masks_for_labelling_are_cut_as_by_the_public_code(pixels):
    for case in pixels.cases["test"]:
        frame, size, name = case["ext_box"], case["crop"], f"{case['name']}_{case['crop']}"
        mask = crop_image(pixels.arrays["gt"], frame, size)
        box_mask = crop_box_mask(_xyxy(case["bbox"]), frame, pixels.image_size, size)
        assert_within(SECTION, "labelling, mask", _difference(mask, pixels.arrays[f"{name}_mask"]), 0)
        assert_within(SECTION, "labelling, box mask", _difference(box_mask, pixels.arrays[f"{name}_boxmask"]), 0)


def test_training_frames_follow_from_the_same_random_numbers_as_in_the_public_code(pixels):
    for case in pixels.cases["train"]:
        margins = margins_from_draws(np.array(case["u_margin"]), np.array(case["u_gate"]), case["margin_rate"])
        assert list(crop_frame(_xyxy(case["bbox"]), margins)) == case["ext_box"], case["name"]


def test_training_crops_have_the_pixels_of_the_public_code(pixels, photo):
    for case in pixels.cases["train"]:
        image = crop_planes(photo["image"], case["ext_box"], case["crop"])
        expected = photo[f"train_{case['name']}_image"]
        assert_within(SECTION, "training, image", _difference(image.transpose(1, 2, 0), expected), 0)


def test_the_box_mask_of_a_training_crop_is_that_of_the_public_code_inside_the_image(pixels):
    for case in pixels.cases["train"]:
        ours, public_mask, inside, _ = _training_box_masks(pixels, case)
        assert_within(SECTION, "training, box mask inside", _difference(ours, public_mask)[inside], 0)


def test_outside_the_image_the_box_mask_of_a_training_crop_is_zero_where_the_public_one_wraps_around(pixels):
    wrapped = 0
    for case in pixels.cases["train"]:
        ours, public_mask, _, outside = _training_box_masks(pixels, case)
        assert not ours[outside].any(), case["name"]
        wrapped += int(public_mask[outside].sum())
    assert wrapped, "the pack holds no box mask that wraps around"


def _training_box_masks(pixels: Pixels, case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Our box mask, the public one, and where a crop's pixel is made of the inside or of the outside only."""
    frame, size = case["ext_box"], case["crop"]
    ours = crop_box_mask(_xyxy(case["bbox"]), frame, pixels.image_size, size)
    columns = _reach(frame[0], frame[2], size)
    rows = _reach(frame[1], frame[3], size)
    width, height = pixels.image_size
    inside = np.outer((rows[0] >= 0) & (rows[1] <= height), (columns[0] >= 0) & (columns[1] <= width))
    outside_columns = (columns[1] <= 0) | (columns[0] >= width)
    outside_rows = (rows[1] <= 0) | (rows[0] >= height)
    outside = outside_rows[:, None] | outside_columns[None]
    return ours, pixels.arrays[f"train_{case['name']}_boxmask"], inside, outside


def _reach(start: int, stop: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The first and last coordinate of the image that each pixel of a bicubic resize depends on."""
    scale = (stop - start) / size
    centers = start + (np.arange(size) + 0.5) * scale
    support = 2 * max(scale, 1) + 1
    return centers - support, centers + support


def _difference(ours: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return ours.astype(np.int64) - expected


def _xyxy(bbox: list[float]) -> tuple[float, float, float, float]:
    x, y, width, height = bbox
    return x, y, x + width, y + height
