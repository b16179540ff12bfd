"""The data of the report's script: columns of all masks, thumbnails of some."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from mal.coco.coco_file import show
from mal.data.images import read_record_image
from mal.data.picture_file import Pixels
from mal.errors import UserError
from mal.files import dumps
from mal.masks.rle import rle_from_mask
from mal.report.mask_crop import crop_window, cropped_jpeg, cropped_mask
from mal.report.report_data import MEASURES, Column, Instances, MaskPair

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


MOST_ROWS = 20_000  # in the page's table; some 80 bytes each


def page_data(
    instances: Instances, galleries: Mapping[str, Sequence[int]], pictures: Mapping[int, Thumbnail]
) -> dict[str, Any]:
    """The values by name.

    Args:
        instances: all masks; of more than :data:`MOST_ROWS` those with the lowest lead measure are taken, and those
            that have a picture.
        galleries: rows with pictures, by gallery.
        pictures: of rows.
    """
    rows = _rows_of_the_page(instances, pictures)
    place = {row: number for number, row in enumerate(rows.tolist())}
    image_numbers = instances.image_rows[rows]
    used, images = np.unique(image_numbers, return_inverse=True)
    xywh = instances.xywh[rows]
    columns: dict[str, Any] = {
        "id": [_id(instances.annotation_ids[row]) for row in rows.tolist()],
        "image": images.tolist(),
        "class": instances.class_numbers[rows].tolist(),
        "size": instances.sizes[rows].tolist(),
        "area": np.rint(xywh[:, 2] * xywh[:, 3]).astype(np.int64).tolist(),
        "box": np.rint(xywh).astype(np.int64).ravel().tolist(),
    }
    columns |= {name: _rounded(values[rows]) for name, values in instances.measures.items()}
    return {
        "lead": instances.lead,
        "measures": {name: MEASURES[name] for name in instances.measures},
        "classes": list(instances.class_names),
        "files": [instances.images[number].file_name for number in used.tolist()],
        "total": len(instances),
        "rows": columns,
        "marks": {str(place[row]): mark for row, mark in instances.marks.items() if row in place},
        "galleries": {name: [place[row] for row in shown if row in pictures] for name, shown in galleries.items()},
        "pictures": {str(place[row]): asdict(picture) for row, picture in pictures.items()},
    }


def script_json(value: Any) -> Markup:
    """JSON that can stand inside a script element: no text in it can end the element."""
    return Markup(dumps(value).decode("utf-8").replace("<", "\\u003c"))


def _rows_of_the_page(instances: Instances, pictures: Mapping[int, Thumbnail]) -> np.ndarray:
    if len(instances) <= MOST_ROWS:
        return np.arange(len(instances))
    lead = instances.measures[instances.lead] if instances.lead else instances.positions
    lowest = np.argsort(lead, kind="stable")[: MOST_ROWS - len(pictures)]
    return np.union1d(lowest, np.array(sorted(pictures), np.int64))


def _id(value: Any) -> Any:
    """As it is, or as text where JavaScript has no such number."""
    return value if isinstance(value, str) or (type(value) is int and abs(value) < 2**53) else show(value)


def _rounded(values: Column) -> list[float | None]:
    return [None if np.isnan(value) else round(value, 3) for value in values.tolist()]
