"""The sets of pictures that masks are measured on: train and val parts, and folds over both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mal.files import write_json
from mal.sample.generate import without_masks

FOLD_SPLITS = ("train", "val")


@dataclass(frozen=True)
class Part:
    """Boxes to train on, and other boxes with true masks to measure on.

    Attributes:
        train_boxes: COCO file without masks, all that a recipe may see.
        train_masks: the same boxes with masks, for the ceiling.
        train_images, val_images: folders.
        val_masks: COCO file with masks.
    """

    train_boxes: Path
    train_masks: Path
    train_images: Path
    val_masks: Path
    val_images: Path

    @property
    def num_train_boxes(self) -> int:
        """Boxes to learn from, crowds left out."""
        records = json.loads(self.train_boxes.read_text(encoding="utf-8"))["annotations"]
        return sum(not record.get("iscrowd") for record in records)


def whole_part(folder: Path) -> Part:
    """Of a set as it lies in its folder: train to learn from, val to measure."""
    annotations, images = folder / "annotations", folder / "images"
    return Part(
        train_boxes=annotations / "boxes_train.json",
        train_masks=annotations / "instances_train.json",
        train_images=images / "train",
        val_masks=annotations / "instances_val.json",
        val_images=images / "val",
    )


def write_folds(folder: Path, out: Path, folds: int) -> list[Part]:
    """Deal the pictures of train and val to folds; each part measures one fold and trains on the others.

    Pictures are dealt in the order of the digests of their names. Ids are numbered anew, so that they are unique.

    Args:
        folder: of the set.
        out: gets the annotation files.
        folds: how many.
    """
    document = _joined(folder)
    order = sorted(document["images"], key=lambda image: hashlib.sha256(image["file_name"].encode()).hexdigest())
    fold_of = {image["id"]: place % folds for place, image in enumerate(order)}
    return [_write_fold(document, fold_of, fold, folder / "images", out) for fold in range(folds)]


def _write_fold(document: dict[str, Any], fold_of: dict[int, int], fold: int, images: Path, out: Path) -> Part:
    out.mkdir(parents=True, exist_ok=True)
    held_out = {image for image, own in fold_of.items() if own == fold}
    train, val = _chosen(document, fold_of.keys() - held_out), _chosen(document, held_out)
    part = Part(
        train_boxes=out / f"boxes_train_{fold}.json",
        train_masks=out / f"instances_train_{fold}.json",
        train_images=images,
        val_masks=out / f"instances_val_{fold}.json",
        val_images=images,
    )
    write_json(without_masks(train), part.train_boxes)
    write_json(train, part.train_masks)
    write_json(val, part.val_masks)
    return part


def _chosen(document: dict[str, Any], images: set[int]) -> dict[str, Any]:
    return {
        **document,
        "images": [image for image in document["images"] if image["id"] in images],
        "annotations": [record for record in document["annotations"] if record["image_id"] in images],
    }


def _joined(folder: Path) -> dict[str, Any]:
    """Train and val in one document, file names from the folder of images on."""
    joined: dict[str, Any] = {"images": [], "annotations": []}
    for split in FOLD_SPLITS:
        document = json.loads((folder / "annotations" / f"instances_{split}.json").read_text(encoding="utf-8"))
        numbers = dict(_numbered(document["images"], first=len(joined["images"]) + 1))
        joined["images"] += [
            {**image, "id": numbers[image["id"]], "file_name": f"{split}/{image['file_name']}"}
            for image in document["images"]
        ]
        first = len(joined["annotations"]) + 1
        joined["annotations"] += [
            {**record, "id": number, "image_id": numbers[record["image_id"]]}
            for number, record in enumerate(document["annotations"], start=first)
        ]
        joined["categories"] = document["categories"]
    return joined


def _numbered(images: list[dict[str, Any]], *, first: int) -> Iterator[tuple[int, int]]:
    for number, image in enumerate(images, start=first):
        yield image["id"], number
