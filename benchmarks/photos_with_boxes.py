"""Photos with boxes to label: real ones where there are any, else drawn ones."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mal.data.loaders import AnnotatedImages
from mal.sample.generate import make_sample

SHARED = Path(os.environ.get("MAL_SHARED") or Path(__file__).parents[2] / "shared")
REAL = SHARED / "data" / "coco-mini"
DRAWN_SIZE = (640, 480)


def photos_with_boxes(folder: Path, num_boxes: int) -> AnnotatedImages:
    """The first images of `coco-mini` val with that many boxes together (fewer where there are not so many).

    Args:
        folder: gets the annotation file, and the pictures where they are drawn.
        num_boxes: how many boxes.
    """
    ann_path, img_dir = REAL / "annotations" / "instances_val.json", REAL / "images" / "val"
    if not ann_path.is_file():
        drawn = make_sample(folder, num_train_images=0, num_val_images=num_boxes, image_size=DRAWN_SIZE)
        ann_path, img_dir = drawn.instances_val, drawn.val_images
    document = json.loads(ann_path.read_text(encoding="utf-8"))
    path = folder / "some_boxes.json"
    path.write_text(json.dumps(_first_boxes(document, num_boxes)), encoding="utf-8")
    return AnnotatedImages(path, img_dir)


def _first_boxes(document: dict[str, Any], num_boxes: int) -> dict[str, Any]:
    annotations = [record for record in document["annotations"] if not record.get("iscrowd")]
    place = {image["id"]: number for number, image in enumerate(document["images"])}
    annotations = sorted(annotations, key=lambda record: place[record["image_id"]])[:num_boxes]
    used = {record["image_id"] for record in annotations}
    images = [image for image in document["images"] if image["id"] in used]
    return {**document, "images": images, "annotations": annotations}
