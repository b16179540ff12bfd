"""COCO run-length encoding of masks, windows and full images.

All calls of pycocotools that fill polygons or decode runs go through this file: the C code does not check its input,
so it is checked here.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from pycocotools import mask as mask_utils

from mal.limits import MAX_MASK_PIXELS, MAX_OUTLINE_LENGTH

_LONGEST_COUNT = 7  # characters of a run's length: five bits each, and 32 of them


class Rle(TypedDict):
    """A compressed mask, ready for JSON."""

    size: list[int]
    counts: str


def rle_from_window(window: npt.NDArray[np.bool_], *, x0: int, y0: int, image_width: int, image_height: int) -> Rle:
    """Encode a mask given by a window of it; everything outside is background.

    No full-size array is made, so that hundreds of small masks on a large picture cost little.

    Args:
        window: (h, w) bool or 0/1, fully inside the image.
        x0, y0: the window's left upper pixel in the image.
        image_width, image_height: size of the full mask in pixels.

    Returns:
        The same bytes that pycocotools gives for the full mask.
    """
    height, width = window.shape
    assert 0 <= x0 <= image_width - width, "the window must lie inside the image"
    assert 0 <= y0 <= image_height - height, "the window must lie inside the image"
    columns = np.zeros((width, height + 2), dtype=bool)
    columns[:, 1:-1] = window.T
    # Each column starts and ends with background, so its changes alternate between a start and an end of a run.
    column, row = np.divmod(np.flatnonzero(columns[:, 1:] != columns[:, :-1]), height + 1)
    changes = (column + x0) * image_height + row + y0
    starts, ends = changes[::2], changes[1::2]
    # A run that leaves a column at the bottom continues at the top of the next one.
    joined = ends[:-1] == starts[1:]
    starts, ends = starts[np.r_[True, ~joined][: len(starts)]], ends[np.r_[~joined, True][: len(ends)]]
    edges = np.concatenate(([0], np.stack((starts, ends), axis=1).ravel(), [image_width * image_height]))
    counts = np.diff(edges)
    if len(counts) > 1 and counts[-1] == 0:
        counts = counts[:-1]
    return _compress(counts.tolist(), image_height, image_width)


def rle_from_mask(mask: npt.NDArray[np.bool_]) -> Rle:
    """Encode a full (H, W) mask of bool or 0/1."""
    height, width = mask.shape
    return rle_from_window(mask, x0=0, y0=0, image_width=width, image_height=height)


def empty_rle(image_width: int, image_height: int) -> Rle:
    """An empty mask."""
    return _compress([image_width * image_height], image_height, image_width)


def mask_from_rle(rle: Rle) -> npt.NDArray[np.bool_]:
    """Decode to an (H, W) bool array."""
    mask: npt.NDArray[np.uint8] = mask_utils.decode(rle)
    return mask.astype(bool)


def window_from_rle(rle: Rle) -> tuple[npt.NDArray[np.bool_], int, int]:
    """Decode the part of the image that holds the mask.

    Returns:
        (h, w) bool, and the column and the row of the image where it starts; of an empty mask (0, 0), 0 and 0.
    """
    x0, y0, width, height = (int(value) for value in mask_utils.toBbox(rle))
    window: npt.NDArray[np.uint8] = mask_utils.decode(rle)[y0 : y0 + height, x0 : x0 + width]
    return window.astype(bool), x0, y0


def rle_area(rle: Rle) -> int:
    """Number of foreground pixels."""
    return int(mask_utils.area(rle))


def rle_digest(rle: Rle) -> str:
    """Hash a mask, in hexadecimal digits; runs of length 0 are ignored.

    Raises:
        ValueError: the counts are damaged.
    """
    ends = np.cumsum(_decompress(rle["counts"]), dtype=np.int64)
    height, width = rle["size"]
    places, times = np.unique(ends[ends < height * width], return_counts=True)
    changes = places[times % 2 == 1].astype("<i8")
    return hashlib.sha256(f"{height} {width} ".encode() + changes.tobytes()).hexdigest()


def rle_extent(rle: Rle) -> tuple[float, float, float, float]:
    """The smallest box around all foreground pixels, x, y, width, height; zeros of an empty mask."""
    x, y, width, height = mask_utils.toBbox(rle).tolist()
    return x, y, width, height


def rle_from_segmentation(segmentation: Any, height: int, width: int) -> Rle:
    """Read an annotation's ``segmentation``: polygons, uncompressed RLE or compressed RLE.

    Args:
        segmentation: as in the COCO file.
        height, width: the image's size in pixels, which an RLE must share.

    Raises:
        ValueError: it is none of these, is damaged or too large; the text says what is wrong.
    """
    _require_countable(height, width)
    if isinstance(segmentation, list):
        return _from_polygons(segmentation, height, width)
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("segmentation is neither a list of polygons nor an RLE with size and counts")
    if segmentation.get("size") != [height, width]:
        raise ValueError(f"the RLE has size {segmentation.get('size')}, its image has [{height}, {width}]")
    counts = segmentation["counts"]
    most = height * width + 1  # a run for each pixel, and one without any before them
    if isinstance(counts, str) and len(counts) <= _LONGEST_COUNT * most:
        counts = _decompress(counts)
    if isinstance(counts, str | list) and len(counts) > most:
        raise ValueError(f"the RLE has more runs than its image has pixels, {height * width}")
    if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("the RLE's counts are not a text or a list of whole numbers")
    if sum(counts) != height * width:
        raise ValueError(f"the RLE's counts add up to {sum(counts)} pixels instead of {height * width}")
    return _compress(counts, height, width)


def _require_countable(height: int, width: int) -> None:
    if height * width > MAX_MASK_PIXELS:
        raise ValueError(
            f"an image of {width} x {height} pixels has more than the {MAX_MASK_PIXELS:,} that a mask can have"
        )


def _compress(counts: list[int], height: int, width: int) -> Rle:
    _require_countable(height, width)
    encoded = mask_utils.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}


def _decompress(text: str) -> list[int]:
    """Counts of a compressed RLE, checked; the C library trusts the text and can read past its end."""
    counts: list[int] = []
    value = shift = 0
    for char in text:
        bits = ord(char) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError("the RLE's counts hold characters or numbers that no encoder writes")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the RLE's counts are cut off")
    return counts


def _from_polygons(polygons: list[Any], height: int, width: int) -> Rle:
    if not polygons:
        raise ValueError("segmentation is an empty list")
    limit, length = 10 * max(height, width), 0.0
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon is not a list of at least three x, y pairs")
        # `not <=` catches NaN too.
        if not all(type(value) in (int, float) and abs(value) <= limit for value in polygon):
            raise ValueError("a polygon holds a value that is not a number near the image")
        length += _outline_length(polygon)
        if length > MAX_OUTLINE_LENGTH:
            raise ValueError(
                f"its outlines are longer than {MAX_OUTLINE_LENGTH:,} pixels, which would take gigabytes to fill;"
                " an RLE may be as detailed"
            )
    merged = mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))
    return {"size": [height, width], "counts": merged["counts"].decode("ascii")}


def _outline_length(polygon: list[float]) -> float:
    """Number of pixels that pycocotools allocates: the sum of each edge's longer side."""
    points = np.array(polygon, np.float64).reshape(-1, 2)
    return float(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum())
