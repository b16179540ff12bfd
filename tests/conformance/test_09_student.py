"""Logits of a whole network, with the recipe's weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from mal.models.backbones.vit import Stem
from mal.models.network import MaskNetwork
from mal.size_bins import BIN_ENDS
from tests.conformance.pack import (
    STEMS,
    TINY,
    absolute,
    areas,
    assert_within,
    file_name,
    network_input,
    network_of,
    read_npz,
    sampled,
)

SECTION = "student"
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Student:
    """A network, the batch of its golden case, and its own logits."""

    stem: Stem
    network: MaskNetwork
    golden: dict[str, np.ndarray]
    images: Tensor
    box_area: Tensor
    logits: Tensor


@pytest.fixture(scope="module", params=STEMS)
def student(cases, request) -> Student:
    golden = cases.arrays(f"09_student/{file_name(TINY, request.param)}_256.npz")
    network = network_of(TINY, request.param)
    images, box_area = network_input(golden["image_u8"])[golden["image_index"]], areas(golden["bboxes"])
    with torch.no_grad():
        return Student(request.param, network, golden, images, box_area, network(images, box_area))


@pytest.mark.parametrize("stem", STEMS)
def test_box_areas_are_computed_as_in_the_public_code(golden, stem):
    arrays = read_npz(golden / "09_student" / f"{file_name(TINY, stem)}_256.npz")
    assert areas(arrays["bboxes"]).tolist() == arrays["area_f32"].tolist()


def test_logits_are_those_of_the_public_code(student):
    for row in np.flatnonzero(student.golden["bin"] >= 0):
        difference = sampled(student.logits[row], student.golden, f"seg{row}")
        assert_within(SECTION, f"{student.stem} stem, logits", difference, TOLERANCE)
        if f"seg_full{row}" in student.golden:
            difference = absolute(student.logits[row], student.golden[f"seg_full{row}"])
            assert_within(SECTION, f"{student.stem} stem, logits", difference, TOLERANCE)


def test_a_box_on_a_bins_border_gets_the_logits_of_the_lower_bin_where_the_public_code_gives_zeros(student):
    rows = np.flatnonzero(student.golden["bin"] < 0)
    border = student.box_area[rows]
    assert set(border.tolist()) == set(BIN_ENDS)
    with torch.no_grad():
        lower = student.network(student.images[rows], border - 1)
    for row, expected in zip(rows, lower, strict=True):
        if f"seg{row}.val" in student.golden:  # only the public code's own
            assert not student.golden[f"seg{row}.val"].any()
        assert_within(SECTION, f"{student.stem} stem, bin borders", absolute(student.logits[row], expected), TOLERANCE)


def test_instance_vectors_are_those_of_the_public_code(student):
    with torch.no_grad():
        vectors = student.network.roi_head(student.network.backbone(student.images[:3]))
    assert_within(SECTION, f"{student.stem} stem, vectors", sampled(vectors, student.golden, "roi_feat"), TOLERANCE)


def test_logits_of_the_single_scale_path_are_those_of_the_public_code(cases):
    arrays = cases.arrays(f"09_student/{file_name(TINY, 'patch')}_256.npz")
    network = network_of(TINY)
    network.adjust_scale = False
    images = network_input(arrays["image_u8"])[arrays["image_index"]][:3]
    with torch.no_grad():
        logits = network(images, areas(arrays["bboxes"])[:3])
    assert list(logits.shape) == arrays["noadjust_shape"].tolist()
    for row in range(3):
        assert_within(SECTION, "single scale", sampled(logits[row], arrays, f"noadjust_seg{row}"), TOLERANCE)
