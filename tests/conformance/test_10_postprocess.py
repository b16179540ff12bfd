"""From logits to masks of the full image, and their IoU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from mal.masks.paste import PastedMask, paste_mask, threshold_for
from mal.masks.rle import mask_from_rle, rle_from_mask
from mal.metrics.iou import IouSummary, mask_iou
from mal.metrics.iou_metric import InstanceIoU
from mal.models.predict import predict_probs
from mal.models.prediction_mode import PredictionMode
from mal.size_bins import SIZE_NAMES
from tests.conformance.pack import assert_within, read_json, read_npz

SECTION = "post-processing"


@dataclass(frozen=True)
class Case:
    """Nine boxes: logits in, masks and figures out. The logits of box 1 are 0: they come from a bin's border."""

    figures: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def box_area(self) -> np.ndarray:
        return self.arrays["bbox_xywh"][:, 2:].prod(1)

    def masks(self, offset: float = 0) -> list[PastedMask]:
        """Our masks, with the thresholds moved by ``offset``."""
        logits = torch.from_numpy(self.arrays["logits"])
        box_mask = torch.from_numpy(self.arrays["boxmask_crop"])[:, None]
        area = torch.from_numpy(self.box_area)
        images = torch.zeros(len(logits), 3, *box_mask.shape[-2:])
        probs = predict_probs(lambda *_: logits, lambda *_: logits, images, box_mask, area, PredictionMode())
        return [
            paste_mask(
                prob[0].numpy(),
                frame.tolist(),
                tuple(self.arrays["image_wh"].tolist()),
                threshold_for(float(box_area), self.arrays["mask_thres"].tolist()) + offset,
            )
            for prob, frame, box_area in zip(probs, self.arrays["ext_box"], area, strict=True)
        ]


@pytest.fixture(scope="module")
def case(golden) -> Case:
    return Case(read_json(golden / "10_postprocess.json"), read_npz(golden / "10_postprocess.npz"))


def test_masks_are_those_of_the_public_code(case):
    largest, smallest = ([mask.full() for mask in case.masks(offset)] for offset in (-1e-5, 1e-5))
    expected = case.arrays["mask"] > 0
    away_from_threshold = np.array(largest) == np.array(smallest)
    wrong = (np.array(largest) != expected) & away_from_threshold
    assert_within(SECTION, "masks", wrong.sum(), 0, "pixels")
    flipped = np.array([mask.full() for mask in case.masks()]) != expected
    assert_within(SECTION, "masks, pixels at the threshold", flipped.sum(), (~away_from_threshold).sum(), "pixels")


def test_windows_are_encoded_as_the_public_code_encodes_whole_masks(case):
    for mask, expected, annotation in zip(case.masks(), case.arrays["mask"], case.figures["annotations"], strict=True):
        assert np.array_equal(mask_from_rle(annotation["segmentation"]), expected > 0)
        assert rle_from_mask(expected > 0) == annotation["segmentation"]
        if np.array_equal(mask.full(), expected > 0):
            assert mask.rle() == annotation["segmentation"]


def test_the_iou_of_each_mask_is_that_of_the_public_code(case):
    expected = [annotation["iou"] for annotation in case.figures["annotations"]]
    assert_within(SECTION, "IoU of a mask", np.subtract(_ious(case), expected), 1e-4)


def test_the_mean_iou_over_classes_is_that_of_the_public_code(case):
    assert_within(SECTION, "mIoU", _summary(case).all.classes - case.figures["mIoU"], 1e-4)


def test_the_mean_iou_by_size_is_that_of_the_public_code_fed_one_box_at_a_time(case):
    by_size = _summary(case).by_size
    for size in SIZE_NAMES:
        expected = case.figures["batch1"][f"mIoU_{size}"]
        assert_within(SECTION, "mIoU by size", by_size[size].classes - expected, 1e-4)


def _ious(case: Case) -> list[float]:
    return [
        mask_iou(mask.rle(), rle_from_mask(truth > 0))
        for mask, truth in zip(case.masks(), case.arrays["gt"], strict=True)
    ]


def _summary(case: Case) -> IouSummary:
    metric = InstanceIoU()
    metric.update(torch.tensor(_ious(case)), torch.from_numpy(case.arrays["label"]), torch.from_numpy(case.box_area))
    return metric.compute()
