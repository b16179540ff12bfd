"""COCO mask AP, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mal.masks.rle import Rle, rle_area

_STATS = ("mask_ap", "mask_ap_50", "mask_ap_75", "mask_ap_small", "mask_ap_medium", "mask_ap_large")


@dataclass(frozen=True, slots=True)
class ScoredMask:
    """A mask with the fields that COCO's evaluation needs.

    Attributes:
        image: number of its image.
        category: number of its class.
        rle: the mask.
        score: of a predicted mask, 0..1; matching starts with the highest.
        is_crowd: of a true mask: it is a region of many objects, and a prediction in it counts neither way.
    """

    image: int
    category: int
    rle: Rle
    score: float = 1.0
    is_crowd: bool = False


def mask_average_precision(truths: Iterable[ScoredMask], predictions: Iterable[ScoredMask]) -> dict[str, float | None]:
    """COCO's figures as pycocotools computes them: 101 recall levels, IoU 0.50 to 0.95, at most 100 masks of
    a class in an image.

    Args:
        truths: the true masks and the crowd regions.
        predictions: masks with their scores; of equal scores the earlier goes first.

    Returns:
        ``mask_ap``, ``mask_ap_50``, ``mask_ap_75``, and ``mask_ap_small``, ``mask_ap_medium``, ``mask_ap_large`` by the
        area of the mask; 0..1, None where no true mask counts.
    """
    true, found = _coco(truths), _coco(predictions)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(true, found, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = (float(value) for value in evaluation.stats)
    return {name: value if value >= 0 else None for name, value in zip(_STATS, values, strict=False)}


def _coco(masks: Iterable[ScoredMask]) -> COCO:
    coco = COCO()
    records = [_record(number, mask) for number, mask in enumerate(masks, start=1)]
    sizes = {record["image_id"]: record["segmentation"]["size"] for record in records}
    coco.dataset = {
        "images": [{"id": image, "height": height, "width": width} for image, (height, width) in sizes.items()],
        "annotations": records,
        "categories": [{"id": category} for category in {record["category_id"] for record in records}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _record(number: int, mask: ScoredMask) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": mask.image,
        "category_id": mask.category,
        "segmentation": mask.rle,
        "area": rle_area(mask.rle),
        "score": mask.score,
        "iscrowd": int(mask.is_crowd),
    }
