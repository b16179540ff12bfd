"""An evaluation and a label file as the tasks leave them, made without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from mal.files import write_json
from mal.masks.rle import Rle, rle_area, rle_from_mask
from mal.metrics.instance_file import InstanceRow, write_instances
from mal.metrics.iou import dice_from_iou, mask_iou
from mal.sample.scene import scene
from mal.size_bins import SIZE_NAMES, size_bin

CLASSES = ["disc", "</script> & co", "star"]


@dataclass(frozen=True)
class MadeUp:
    """Files of an evaluation.

    Attributes:
        results: its folder.
        truth: the annotation file.
        labels: a label file with the same masks, scored, and two of them marked.
        images: folder of the pictures.
    """

    results: Path
    truth: Path
    labels: Path
    images: Path


def made_up(folder: Path, *, num_images: int = 6) -> MadeUp:
    """Scenes whose predicted masks are the true ones, moved more and more from scene to scene."""
    files = MadeUp(folder / "evaluate", folder / "truth.json", folder / "masks.json", folder / "images")
    files.results.mkdir(parents=True)
    files.images.mkdir()
    images, annotations, found, predictions = [], [], [], []
    for number in range(num_images):
        drawn = scene(np.random.default_rng(number), 128, 96)
        name = f"{number}.png"
        Image.fromarray(drawn.image).save(files.images / name)
        images.append({"id": number, "file_name": name, "width": 128, "height": 96})
        for mask, (x0, y0, x1, y1) in zip(drawn.masks, drawn.boxes_xyxy.tolist(), strict=True):
            truth, predicted = rle_from_mask(mask), rle_from_mask(np.roll(mask, 2 * number, axis=1))
            position, kind = len(annotations), len(annotations) % len(CLASSES)
            box = [x0, y0, x1 - x0, y1 - y0]
            annotations.append(
                {"id": 100 + position, "image_id": number, "category_id": kind, "bbox": box, "segmentation": truth}
            )
            found.append(_instance(annotations[-1], position, name, predicted))
            predictions.append(_prediction(annotations[-1], position, predicted, found[-1].score))
    others = {"images": images, "categories": [{"id": n, "name": name} for n, name in enumerate(CLASSES)]}
    files.truth.write_text(json.dumps({**others, "annotations": annotations}))
    files.labels.write_text(json.dumps({**others, "info": {"a": 1}, "annotations": _labels(annotations, predictions)}))
    write_instances(found, files.results / "instances.csv")
    lines = ",\n".join(json.dumps(entry) for entry in predictions)
    (files.results / "predictions.json").write_text(f"[\n{lines}\n]\n")
    write_json(_metrics(found), files.results / "metrics.json")
    spec = {"dataset": {"val_ann_path": str(files.truth), "val_img_dir": str(files.images)}}
    (files.results / "spec.yaml").write_text(yaml.safe_dump(spec))
    return files


def _instance(annotation: dict[str, Any], position: int, name: str, predicted: Rle) -> InstanceRow:
    truth, (x, y, w, h) = annotation["segmentation"], annotation["bbox"]
    iou = mask_iou(predicted, truth)
    return InstanceRow(
        annotation_index=position,
        annotation_id=str(annotation["id"]),
        image_id=str(annotation["image_id"]),
        file_name=name,
        category_id=str(annotation["category_id"]),
        category=CLASSES[annotation["category_id"]],
        x=x,
        y=y,
        w=w,
        h=h,
        box_area=w * h,
        mask_area=rle_area(predicted),
        true_area=rle_area(truth),
        size=SIZE_NAMES[size_bin(w * h)],
        score=0.5 + 0.4 * iou,
        agreement=0.3 + 0.02 * position,
        iou=iou,
        boundary_iou=iou / 2,
        dice=float(dice_from_iou(iou)),
        box_iou_baseline=rle_area(truth) / (w * h),
        box_boundary_iou_baseline=0.2,
        ellipse_iou=0.6,
        ellipse_boundary_iou=0.3,
    )


def _prediction(annotation: dict[str, Any], position: int, predicted: Rle, score: float) -> dict[str, Any]:
    return {
        "image_id": annotation["image_id"],
        "category_id": annotation["category_id"],
        "segmentation": predicted,
        "score": score,
        "annotation_index": position,
        "annotation_id": annotation["id"],
    }


def _labels(annotations: list[dict[str, Any]], predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    labels = [
        {**annotation, "segmentation": made["segmentation"], "mask_score": made["score"], "note": "kept"}
        for annotation, made in zip(annotations, predictions, strict=True)
    ]
    for position in (1, 3):
        labels[position] |= {"mask_score": 0.9, "mal": {"status": "doubtful", "reason": "the mask is empty"}}
    return labels


def _metrics(found: list[InstanceRow]) -> dict[str, Any]:
    miou = float(np.mean([each.iou for each in found]))
    own = {"miou_classes": miou, "share_iou_50": 0.8, "intervals": {"miou_classes": [miou - 0.1, miou + 0.1]}}
    others = {"miou_classes": 0.5, "share_iou_50": 0.4, "intervals": None}
    return {"checkpoint": "somewhere/model.pth", "model": own, "box": others, "ellipse": others}
