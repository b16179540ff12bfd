"""A small label file with pictures, for the tests of the review."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mal.masks.rle import Rle, rle_from_mask
from mal.review.journal_writer import Act

WIDTH, HEIGHT = 120, 80


def disc(x: float, y: float, radius: float, width: int = WIDTH, height: int = HEIGHT) -> Rle:
    rows, columns = np.mgrid[:height, :width] + 0.5
    return rle_from_mask((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


def write_labels(folder: Path, *, images: int = 2, of_each: int = 3, with_masks: bool = True) -> Path:
    """`masks.json`, and its pictures in `images/`; scores rise with the position."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT} for number in range(images)
        ],
        "annotations": [],
        "categories": [{"id": 1, "name": "nut"}, {"id": 2, "name": "bolt"}],
    }
    for number in range(images):
        noise = np.random.default_rng(number).integers(40, 90, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        for index in range(of_each):
            position = number * of_each + index
            x, radius = 20 + 38 * (index % 3), 14
            record = {
                "id": 100 + position,
                "image_id": number,
                "category_id": 1 + position % 2,
                "bbox": [x - radius, 40 - radius, 2 * radius, 2 * radius],
                "iscrowd": 0,
            }
            if with_masks:
                rle = disc(x, 40, radius)
                record |= {"segmentation": rle, "area": 615, "mask_score": (position + 1) / 100}
            document["annotations"].append(record)
            rows, columns = np.mgrid[:HEIGHT, :WIDTH]
            noise[(columns - x) ** 2 + (rows - 40) ** 2 <= radius**2] = (200, 160, 60)
        Image.fromarray(noise).save(folder / "images" / f"{number}.png")
    path = folder / "masks.json"
    path.write_text(json.dumps(document))
    return path


def act(position: int, state: Any = "accepted", *, base: int = 0, operation: str | None = None, **more: Any) -> Act:
    return Act(position, state, "ann", operation or f"{position}-{base}-{state}", base, **more)
