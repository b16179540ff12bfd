"""Small pictures of masks: one crop of the image each, and the masks as codes that the page draws over it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mal.data.images import read_record_image
from mal.data.picture_modes import Pixels
from mal.errors import UserError
from mal.masks.rle import rle_from_mask
from mal.report.findings import MaskPair
from mal.report.instances import Instances
from mal.report.mask_crop import crop_window, cropped_jpeg, cropped_mask

MOST_THREADS = 4  # each holds one decoded picture


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
    window = crop_window(picture.shape[1], picture.shape[0], xywh, [mask for mask in masks if mask])
    jpeg, size, scale = cropped_jpeg(picture, window)
    (x0, y0, _, _), (x, y, width, height) = window, xywh
    box = [(x - x0) * scale, (y - y0) * scale, (x + width - x0) * scale, (y + height - y0) * scale]
    codes = [rle_from_mask(cropped_mask(mask, window, size))["counts"] if mask else None for mask in masks]
    return Thumbnail(jpeg, *size, [round(side, 1) for side in box], *codes)
