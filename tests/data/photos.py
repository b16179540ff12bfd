"""Pictures on disk with boxes on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mal.data.boxes import Box
from mal.data.coco import ImageRecord

WIDTH, HEIGHT = 60, 40


def photos(folder: Path, boxes_of_image: list[int]) -> list[Box]:
    """Write one picture for each number and make as many boxes on it; positions count from 0."""
    boxes: list[Box] = []
    for image, count in enumerate(boxes_of_image):
        pixels = np.random.default_rng(image).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{image}.png")
        record = ImageRecord(id=image + 100, file_name=f"{image}.png", width=WIDTH, height=HEIGHT, position=image)
        for number in range(count):
            x, y = 2.0 * number % 40, 1.0 * number % 20
            box = (x, y, x + 12, y + 9)
            boxes.append(Box(len(boxes), len(boxes) + 1, record, 1, box, (x, y, 12.0, 9.0)))
    return boxes
