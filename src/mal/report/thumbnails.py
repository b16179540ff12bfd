"""Small pictures of masks: one crop of the image each, and the masks as codes that the page draws over it."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from mal.data.images import Pixels, read_record_image
from mal.errors import UserError
from mal.masks.rle import Rle, mask_from_rle, rle_from_mask
from mal.report.findings import MaskPair
from mal.report.instances import Instances

LONGEST_SIDE = 288  # pixels of the page's picture
MARGIN = 0.18  # of the longer side of what is shown, on each side
QUALITY = 72
MOST_THREADS = 4  # each holds one decoded picture

Window = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A crop of an image and what is drawn over it, all in the crop's pixels.

    Attributes:
        jpeg: the crop as a file, in base64.
        width, height: of the crop.
        box: x0, y0, x1, y1.
        predicted, truth: masks as the text of a compressed COCO RLE; None where there is none.
    """

    jpeg: str
    width: int
    height: int
    box: list[float]
    predicted: str | None
    truth: str | None


def make_thumbnails(
    instances: Instances, rows: Sequence[int], img_dir: Path, masks: Callable[[int], MaskPair]
) -> tuple[dict[int, Thumbnail], list[str]]:
    """Thumbnails of some rows; each image is decoded once, each crop encoded once.

    Args:
        instances: all masks.
        rows: those that are wanted.
        img_dir: folder of the images.
        masks: predicted and true mask of a row.

    Returns:
        Thumbnails by row, and why some are missing (an image that cannot be read).
    """
    by_image: dict[int, list[int]] = {}
    for row in sorted(set(rows)):
        by_image.setdefault(int(instances.image_rows[row]), []).append(row)

    def of_image(wanted: list[int]) -> dict[int, Thumbnail] | str:
        try:
            picture = read_record_image(img_dir, instances.image(wanted[0]))
        except UserError as error:
            return str(error)
        return {row: _thumbnail(picture, instances.xywh[row].tolist(), masks(row)) for row in wanted}

    found: dict[int, Thumbnail] = {}
    problems = []
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
        for result in threads.map(of_image, by_image.values()):
            if isinstance(result, str):
                problems.append(result)
            else:
                found |= result
    return found, problems


def _thumbnail(picture: Pixels, xywh: list[float], masks: MaskPair) -> Thumbnail:
    x, y, width, height = xywh
    window = _window(picture.shape[1], picture.shape[0], (x, y, x + width, y + height), masks)
    x0, y0, x1, y1 = window
    scale = min(1.0, LONGEST_SIDE / max(x1 - x0, y1 - y0))
    size = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    crop = Image.fromarray(picture[y0:y1, x0:x1])
    if scale < 1:
        crop = crop.resize(size, Image.Resampling.BOX if scale < 0.25 else Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    crop.save(buffer, format="JPEG", quality=QUALITY)
    box = [(x - x0) * scale, (y - y0) * scale, (x + width - x0) * scale, (y + height - y0) * scale]
    return Thumbnail(
        base64.b64encode(buffer.getvalue()).decode("ascii"),
        *size,
        [round(side, 1) for side in box],
        *(_code(mask, window, size) if mask else None for mask in masks),
    )


def _window(width: int, height: int, box: tuple[float, float, float, float], masks: MaskPair) -> Window:
    """What is shown: the box and both masks, and some of what is around them."""
    x0, y0, x1, y1 = box
    for mask in masks:
        left, top, wide, high = (float(side) for side in coco_mask.toBbox(mask)) if mask else (0, 0, 0, 0)
        if wide and high:
            x0, y0, x1, y1 = min(x0, left), min(y0, top), max(x1, left + wide), max(y1, top + high)
    margin = max(4.0, MARGIN * max(x1 - x0, y1 - y0))
    left_side = min(max(0, int(x0 - margin)), width - 1)
    top_side = min(max(0, int(y0 - margin)), height - 1)
    right, bottom = min(width, int(np.ceil(x1 + margin))), min(height, int(np.ceil(y1 + margin)))
    return left_side, top_side, max(left_side + 1, right), max(top_side + 1, bottom)


def _code(mask: Rle, window: Window, size: tuple[int, int]) -> str:
    x0, y0, x1, y1 = window
    crop = mask_from_rle(mask)[y0:y1, x0:x1]
    if size != (x1 - x0, y1 - y0):
        grey = Image.fromarray(crop.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
        crop = np.asarray(grey) > 127
    return rle_from_mask(crop)["counts"]
