"""Check images and boxes that are passed as arrays, like those from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike
from PIL import Image

from mal.coco.box_conventions import suspicion
from mal.coco.boxes import Box
from mal.coco.tables import ImageRecord
from mal.data.images import read_image
from mal.data.picture_file import to_rgb_pixels
from mal.reading import Exif, Reading

ImageLike = str | Path | Image.Image | npt.NDArray[np.uint8]


def image_pixels(image: ImageLike, exif: Exif = "stored") -> npt.NDArray[np.uint8]:
    """The colors of an image, (H, W, 3) uint8.

    Args:
        image: a file path, a PIL image, or an (H, W, 3) or (H, W) uint8 array in RGB order.
        exif: whether a file is read as it is stored or as viewers turn it; images in memory are taken as they are.

    Raises:
        UserError: the file cannot be read.
        ValueError: the array is no image.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image), Reading(exif=exif))
    if isinstance(image, Image.Image):
        return to_rgb_pixels(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ValueError(f"image must be (H, W, 3) or (H, W) uint8, not {image.shape} {image.dtype}")
    return np.broadcast_to(image.reshape(*image.shape[:2], -1), (*image.shape[:2], 3))


def checked_boxes(boxes_xyxy: ArrayLike) -> npt.NDArray[np.float64]:
    """Boxes as an (N, 4) array.

    Raises:
        ValueError: one is not a box.
    """
    boxes = np.asarray(boxes_xyxy, dtype=np.float64)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes_xyxy must be (N, 4), not {boxes.shape}")
    bad = ~np.isfinite(boxes).all(1) | (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    if bad.any():
        index = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"boxes_xyxy[{index}] is not a box with x0 < x1 and y0 < y1: {boxes[index].tolist()}"
            " (of x, y, width, height it is x, y, x + width, y + height)"
        )
    return boxes


def describe_suspicion(boxes_xyxy: npt.NDArray[np.float64], *, width: int, height: int) -> str:
    """Describe in one line boxes that do not look like corners in image pixels; empty if they do."""
    xywh = np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)
    found = suspicion(xywh, np.broadcast_to([width, height], (len(xywh), 2)))
    if found is None:
        return ""
    start = f"boxes_xyxy: {found.boxes} of {found.of} boxes"
    if found.convention == "corners":
        return (
            f"{start} reach out of the image of {width} x {height} pixels, but would not with x1 - x0 and y1 - y0 for"
            " x1 and y1: they were corners, it seems, before x and y were added; they are used as given"
        )
    unit = "shares of its width and height" if found.convention == "shares" else "per cent of its width and height"
    return (
        f"{start} lie in the upper left corner of the image of {width} x {height} pixels: they look like {unit};"
        " they are used as pixels"
    )


def visible_boxes(boxes_xyxy: npt.NDArray[np.float64], *, width: int, height: int) -> list[Box]:
    """Clip boxes to the image and drop those outside it; ``position`` is the index among all boxes."""
    image = ImageRecord(id=0, file_name="", width=width, height=height, position=0)
    clipped = np.clip(boxes_xyxy, 0, [width, height, width, height])
    touching = (clipped[:, 0] < clipped[:, 2]) & (clipped[:, 1] < clipped[:, 3])
    return [_make_box(int(index), boxes_xyxy[index], clipped[index], image) for index in np.flatnonzero(touching)]


def _make_box(index: int, xyxy: npt.NDArray[np.float64], clipped: npt.NDArray[np.float64], image: ImageRecord) -> Box:
    x0, y0, x1, y1 = xyxy.tolist()
    left, top, right, bottom = clipped.tolist()
    return Box(
        position=index,
        annotation_id=index,
        image=image,
        category_id=None,
        xyxy=(left, top, right, bottom),
        xywh=(x0, y0, x1 - x0, y1 - y0),
    )
