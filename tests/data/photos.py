"""Pictures on disk with boxes on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mal.coco.boxes import Boxes, select_boxes
from tests.coco.coco_samples import coco_file, document

WIDTH, HEIGHT = 60, 40
ONE_SIZE = ((12.0, 9.0),)
THREE_SIZES = ((12.0, 9.0), (50.0, 45.0), (150.0, 110.0))  # of a small, a medium and a large box


def photos(folder: Path, boxes_of_image: list[int], box_sizes: Sequence[tuple[float, float]] = ONE_SIZE) -> Boxes:
    """Write one picture for each number and make as many boxes on it; positions count from 0, sizes take turns."""
    scale = 1 if box_sizes == ONE_SIZE else 4
    width, height = scale * WIDTH, scale * HEIGHT
    images, annotations = [], []
    for image, count in enumerate(boxes_of_image):
        pixels = np.random.default_rng(image).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{image}.png")
        images.append({"id": image + 100, "file_name": f"{image}.png", "width": width, "height": height})
        for number in range(count):
            bbox = [2.0 * number % 40, 1.0 * number % 20, *box_sizes[number % len(box_sizes)]]
            annotations.append({"id": len(annotations) + 1, "image_id": image + 100, "category_id": 1, "bbox": bbox})
    categories = [{"id": 1, "name": "thing"}]
    return select_boxes(coco_file(folder, document(*annotations, images=images, categories=categories)))[0]
