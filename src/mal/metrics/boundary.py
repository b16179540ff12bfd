"""Boundary IoU (CVPR 2021, arXiv 2103.16562)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mal.masks.rle import Rle, rle_from_window, window_from_rle
from mal.metrics.iou import mask_iou


def boundary_iou(first: Rle, second: Rle, dilation_ratio: float = 0.02) -> float:
    """IoU of the inner boundary strips of two masks (equation 3 of the paper).

    A mask no wider than two strips is all boundary, so for small objects this equals the mask IoU.

    Args:
        first: a mask.
        second: a mask of the same image.
        dilation_ratio: width of the strip as a share of the image's diagonal.

    Returns:
        0..1; 0 when both are empty.

    Raises:
        ValueError: the masks are of different sizes.
    """
    return mask_iou(boundary(first, dilation_ratio), boundary(second, dilation_ratio))


def boundary(mask: Rle, dilation_ratio: float = 0.02) -> Rle:
    """Pixels of a mask near its contour; the image border counts as contour, as in the paper.

    Distances are those of a square neighborhood (the larger one of both axes), and at least one pixel is taken.

    Args:
        mask: at full image size.
        dilation_ratio: as in :func:`boundary_iou`.
    """
    height, width = mask["size"]
    window, x0, y0 = window_from_rle(mask)
    strip = max(1, round(dilation_ratio * float(np.hypot(height, width))))
    inner = _eroded(window, strip)
    if inner.size:
        window[strip:-strip, strip:-strip] &= ~inner
    return rle_from_window(window, x0=x0, y0=y0, image_width=width, image_height=height)


def _eroded(window: npt.NDArray[np.bool_], reach: int) -> npt.NDArray[np.bool_]:
    """Erode by a square of radius ``reach``: (h - 2 * reach, w - 2 * reach) bool, without the border."""
    return _all_in_a_row(_all_in_a_row(window, 2 * reach + 1).T, 2 * reach + 1).T


def _all_in_a_row(rows: npt.NDArray[np.bool_], length: int) -> npt.NDArray[np.bool_]:
    """Where ``length`` consecutive rows are all set; doubling run lengths needs few passes over the pixels."""
    if len(rows) < length:
        return rows[:0]
    done = 1
    while done < length:
        step = min(done, length - done)
        rows = rows[:-step] & rows[step:]
        done += step
    return rows
