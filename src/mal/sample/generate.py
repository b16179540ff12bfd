"""Write the generated data set: images, boxes for training, exact masks for evaluation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mal.masks.rle import rle_from_mask
from mal.sample.scene import Scene, scene
from mal.sample.shapes import CATEGORY_NAMES

JPEG_QUALITY = 92
MASK_KEYS = ("segmentation", "area")


@dataclass(frozen=True, slots=True)
class SamplePaths:
    """Where the parts of a generated data set lie."""

    train_images: Path
    val_images: Path
    boxes_train: Path
    instances_train: Path
    boxes_val: Path
    instances_val: Path


def make_sample(
    out_dir: Path,
    *,
    num_train_images: int = 240,
    num_val_images: int = 60,
    seed: int = 0,
    image_size: tuple[int, int] = (256, 192),
) -> SamplePaths:
    """Generate scenes and write them under `out_dir`; returns where everything lies.

    `images/train` and `images/val` hold the JPEG files; `annotations/boxes_*.json` hold boxes without any mask or
    mask area, `annotations/instances_*.json` the same annotations with exact masks (RLE). `image_size` is width,
    height in pixels. Picture i of a split depends on the seed, the split and i alone, so asking for more pictures
    leaves the first ones as they are. Files of an earlier call are overwritten.
    """
    annotations_dir = out_dir / "annotations"
    annotations_dir.mkdir(parents=True, exist_ok=True)
    for number, (split, count) in enumerate((("train", num_train_images), ("val", num_val_images))):
        instances = _write_split(out_dir / "images" / split, count, (seed, number), image_size)
        _write_json(annotations_dir / f"instances_{split}.json", instances)
        _write_json(annotations_dir / f"boxes_{split}.json", without_masks(instances))
    return SamplePaths(
        train_images=out_dir / "images" / "train",
        val_images=out_dir / "images" / "val",
        boxes_train=annotations_dir / "boxes_train.json",
        instances_train=annotations_dir / "instances_train.json",
        boxes_val=annotations_dir / "boxes_val.json",
        instances_val=annotations_dir / "instances_val.json",
    )


def without_masks(document: dict[str, Any]) -> dict[str, Any]:
    """A COCO document with the annotations' masks, and the areas that tell of them, left out."""
    annotations = [
        {key: value for key, value in annotation.items() if key not in MASK_KEYS}
        for annotation in document["annotations"]
    ]
    return {**document, "annotations": annotations}


def _write_split(images_dir: Path, count: int, seed: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
    images_dir.mkdir(parents=True, exist_ok=True)
    width, height = size
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(count):
        drawn = scene(np.random.default_rng([*seed, index]), width, height)
        file_name = f"scene_{index:05d}.jpg"
        Image.fromarray(drawn.image).save(images_dir / file_name, quality=JPEG_QUALITY)
        images.append({"id": index + 1, "file_name": file_name, "width": width, "height": height})
        annotations += _annotations(drawn, image_id=index + 1, first_id=len(annotations) + 1)
    categories = [{"id": number, "name": name} for number, name in enumerate(CATEGORY_NAMES, start=1)]
    info = {"description": "Generated scenes of mask-auto-labeler", "seed": seed[0]}
    return {"info": info, "images": images, "annotations": annotations, "categories": categories}


def _annotations(drawn: Scene, *, image_id: int, first_id: int) -> list[dict[str, Any]]:
    records = []
    for offset, mask in enumerate(drawn.masks):
        x0, y0, x1, y1 = drawn.boxes_xyxy[offset].tolist()
        records.append(
            {
                "id": first_id + offset,
                "image_id": image_id,
                "category_id": drawn.category_ids[offset],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "iscrowd": 0,
                "segmentation": rle_from_mask(mask),
                "area": int(mask.sum()),
            }
        )
    return records


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")
