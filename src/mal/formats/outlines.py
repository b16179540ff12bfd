"""Polygons of masks as the options ask: exact, within a tolerance, or with few corners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mal.formats.folders import WriteOptions
from mal.formats.tally import Tally
from mal.masks.few_corners import outline_with_few_corners
from mal.masks.polygons import join_polygons, polygons_from_rle
from mal.masks.rle import Rle

Polygons = Sequence[npt.NDArray[np.int64 | np.float64]]


def outline(rle: Rle, options: WriteOptions, tally: Tally, name: str, *, is_joined: bool = False) -> Polygons:
    """The polygons of a mask, one per component.

    Args:
        rle: the mask.
        options: ``max_corners`` and ``min_iou``, or ``tolerance``, count.
        tally: notes corners and IoU of each object with a budget of corners.
        name: of the annotation.
        is_joined: all components become one polygon, by bridges.

    Returns:
        (N, 2) arrays of x, y in pixels of the image; none of an empty mask.
    """
    if options.max_corners is None:
        polygons = polygons_from_rle(rle, options.tolerance)
        return [join_polygons(polygons)] if is_joined and polygons else polygons
    found = outline_with_few_corners(rle, options.max_corners, options.min_iou, is_joined=is_joined)
    if found.polygons:
        tally.outlines[name] = found.corners, found.iou
    if found.corners > options.max_corners:
        tally.changed[f"more than {options.max_corners} corners, for an IoU of {options.min_iou:g}"].append(name)
    if found.dropped:
        tally.changed["small components or holes are left out, for few corners"].append(name)
    return found.polygons


def has_few_corners(segmentation: list[object], options: WriteOptions) -> bool:
    """Whether polygons of the input can stay as they were drawn."""
    lists = [polygon for polygon in segmentation if isinstance(polygon, list)]
    return options.max_corners is None or sum(map(len, lists)) <= 2 * options.max_corners
