"""A labelled data set that a client should read as it was meant: two classes, a hole, and a photo held upright."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mal.masks.rle import mask_from_rle, rle_from_mask

WIDTH, HEIGHT = 96, 64
ORIENTATION_TAG = 0x0112
CLASSES = ("screw", "nut")
UPRIGHT, TURNED = ("flat.jpg", "wide.jpg", "last.jpg"), "phone.jpg"


@dataclass(frozen=True)
class Labels:
    """Annotations and pictures on disk; masks are for the stored pixels."""

    file: Path
    images: Path
    document: dict[str, Any]

    def masks(self, name: str) -> dict[str, np.ndarray]:
        """The masks of a picture by class, (H, W) bool, as its viewers see it: turned where its EXIF says so."""
        (image,) = (record for record in self.document["images"] if record["file_name"] == name)
        found = {
            CLASSES[record["category_id"] - 1]: mask_from_rle(record["segmentation"])
            for record in self.document["annotations"]
            if record["image_id"] == image["id"]
        }
        return {each: np.rot90(mask, -1) if name == TURNED else mask for each, mask in found.items()}


def write_labels(folder: Path) -> Labels:
    """Four pictures with one object of each class; the camera of one was turned by 90 degrees."""
    images = folder / "images"
    images.mkdir(parents=True)
    document: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": number + 1, "name": name} for number, name in enumerate(CLASSES)],
    }
    for number, name in enumerate((*UPRIGHT, TURNED)):
        _write_picture(images / name, turned=name == TURNED)
        document["images"].append({"id": number + 1, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for class_row, mask in enumerate(_masks(number)):
            document["annotations"].append(_record(len(document["annotations"]) + 1, number + 1, class_row + 1, mask))
    file = folder / "masks.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return Labels(file, images, document)


def _write_picture(path: Path, *, turned: bool) -> None:
    exif = Image.Exif()
    if turned:
        exif[ORIENTATION_TAG] = 6  # to be turned by 90 degrees clockwise
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)


def _masks(number: int) -> list[np.ndarray]:
    screw, nut = (np.zeros((HEIGHT, WIDTH), dtype=bool) for _ in CLASSES)
    screw[8:28, 10 + number : 50] = True
    screw[20:28, 30:50] = False
    nut[30:60, 60:90] = True
    nut[38:50, 70:80] = False
    return [screw, nut]


def _record(record_id: int, image_id: int, category_id: int, mask: np.ndarray) -> dict[str, Any]:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    x, y = int(columns[0]), int(rows[0])
    return {
        "id": record_id,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": rle_from_mask(mask),
    }
