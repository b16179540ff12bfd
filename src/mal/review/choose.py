"""Choose the boxes whose masks a person should draw first: typical ones of different kinds, doubtful before sure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mal.coco.boxes import Box, Boxes, select_boxes
from mal.coco.coco_file import CocoFile, category_name
from mal.data.images import fill_missing_sizes, read_record_image
from mal.data.picture_remarks import choose_reading
from mal.errors import UserError
from mal.reading import Reading
from mal.report.label_results import share_in

Features = npt.NDArray[np.float64]

LEAST_SIDE = 8.0
"""Pixels; masks of smaller boxes are hard to draw and teach little."""

_BINS = 4  # of each color channel
_COLOR_SIDE = 32  # pixels of a box that its colors are taken from, at most
_ROUNDS = 10  # of k-means
_SURENESS = 1.0  # how much a score of 1 counts, in median distances from the center of a group
_UNKNOWN_SCORE = 0.5
_WEIGHTS = {"shape": 1.0, "colors": 1.0, "contrast": 0.5, "class": 0.5}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A box to draw.

    Attributes:
        position: index in the file's ``annotations``.
        annotation_id: as in the file.
        file_name: of the image.
        category: name of the class.
        score: ``mask_score`` of the file in 0..1; None without one.
    """

    position: int
    annotation_id: Any
    file_name: str
    category: str
    score: float | None


def choose_boxes(
    coco: CocoFile, img_dir: Path, reading: Reading, count: int, done: Collection[int] = ()
) -> tuple[list[Chosen], int]:
    """Choose boxes of a file.

    Boxes are grouped by their size, shape, colors, contrast to their surroundings and class, into as many groups as
    boxes are wanted. Of each group the box comes that is near its middle and has a low score.

    Args:
        coco: label file, with or without masks and scores.
        img_dir: folder of its pictures.
        reading: how they are read.
        count: how many; at least 1.
        done: positions of annotations that need no mask any more.

    Returns:
        The boxes, those of the largest groups first; fewer where the file has fewer. And the number of pictures that
        could not be read.

    Raises:
        UserError: there is nothing to choose from.
    """
    choose_reading(coco, img_dir, reading)
    fill_missing_sizes(coco, img_dir)
    boxes, _ = select_boxes(coco)
    is_open = ~np.isin(boxes.positions, list(done)) & (boxes.visible_sizes.min(axis=1, initial=np.inf) >= LEAST_SIDE)
    boxes = boxes.take(np.flatnonzero(is_open))
    colors, unread = _colors(boxes, img_dir)
    readable = ~np.isnan(colors[:, 0])
    boxes, colors = boxes.take(np.flatnonzero(readable)), colors[readable]
    if not len(boxes):
        raise UserError(f"{coco.path}: no box is left to choose from: of {LEAST_SIDE:g} pixels, readable, not reviewed")
    scores = np.array([share_in(coco.annotations[box.position].get("mask_score")) for box in boxes])
    rows = choose_rows(_features(boxes, colors), scores, count)
    return [_chosen(coco, boxes[row], float(scores[row])) for row in rows], unread


def choose_rows(features: Features, scores: Features, count: int) -> list[int]:
    """Choose rows that stand for all.

    Args:
        features: (N, D), compared by Euclidean distance.
        scores: (N,) in 0..1; NaN where there is none.
        count: how many rows; N where it is larger.

    Returns:
        Different rows, those of the largest groups first.
    """
    if count >= len(features):
        return np.argsort(np.nan_to_num(scores, nan=_UNKNOWN_SCORE), kind="stable").tolist()
    known = np.nan_to_num(scores, nan=_UNKNOWN_SCORE)
    group, distance = _groups(features, count)
    chosen = []
    sizes = np.bincount(group, minlength=count)
    for number in np.argsort(-sizes, kind="stable").tolist():
        members = np.flatnonzero(group == number)
        if len(members):
            middle = max(float(np.median(distance[members])), 1e-12)
            chosen.append(int(members[np.argmin(distance[members] / middle + _SURENESS * known[members])]))
    while len(chosen) < count:  # groups without members: boxes that look alike
        rest = np.setdiff1d(np.arange(len(features)), chosen)
        chosen.append(int(rest[np.argmin(known[rest])]))
    return chosen


def _groups(features: Features, count: int) -> tuple[npt.NDArray[np.int64], Features]:
    """k-means from centers far from each other: the group of each row, and its distance from the group's center."""
    centers = features[_far_rows(features, count)]
    for _ in range(_ROUNDS):
        group = _distances(features, centers).argmin(axis=1)
        sums = np.zeros_like(centers)
        np.add.at(sums, group, features)
        sizes = np.bincount(group, minlength=count)[:, None]
        centers = np.where(sizes > 0, sums / np.maximum(sizes, 1), centers)
    distances = _distances(features, centers)
    group = distances.argmin(axis=1)
    return group, distances[np.arange(len(features)), group]


def _far_rows(features: Features, count: int) -> list[int]:
    """Rows far from each other: the one nearest to the mean, then each time the one farthest from all so far."""
    rows = [int(_distances(features, features.mean(axis=0, keepdims=True))[:, 0].argmin())]
    nearest = _distances(features, features[rows])[:, 0]
    while len(rows) < count:
        rows.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _distances(features, features[rows[-1:]])[:, 0])
    return rows


def _distances(features: Features, centers: Features) -> Features:
    """(N, K): Euclidean distances."""
    squares = (features**2).sum(axis=1)[:, None] + (centers**2).sum(axis=1)[None] - 2 * features @ centers.T
    return np.sqrt(np.maximum(squares, 0))


def _features(boxes: Boxes, colors: Features) -> Features:
    classes = [str(box.category_id) for box in boxes]
    names = sorted(set(classes))
    is_class = np.array([[name == each for each in names] for name in classes], np.float64)
    parts = {
        "shape": np.log(boxes.visible_sizes),
        "colors": colors[:, : 3 * _BINS],
        "contrast": colors[:, 3 * _BINS :],
        "class": is_class,
    }
    return np.concatenate([_WEIGHTS[name] * _of_unit_spread(part) for name, part in parts.items()], axis=1)


def _of_unit_spread(part: Features) -> Features:
    centered = part - part.mean(axis=0)
    spread = float(np.sqrt(centered.var(axis=0).sum()))
    return centered / spread if spread > 1e-9 else centered


def _colors(boxes: Boxes, img_dir: Path) -> tuple[Features, int]:
    """(N, 3 bins + 3): histogram and contrast of each box, NaN in unreadable pictures; and how many these are."""
    found = np.full((len(boxes), 3 * _BINS + 3), np.nan)
    unread = 0
    for row in np.unique(boxes.image_rows).tolist():
        of_image = np.flatnonzero(boxes.image_rows == row).tolist()
        try:
            picture = read_record_image(img_dir, boxes[of_image[0]].image)
        except UserError:
            unread += 1
            continue
        for index in of_image:
            found[index] = _colors_of(picture, boxes[index])
    return found, unread


def _colors_of(picture: npt.NDArray[np.uint8], box: Box) -> Features:
    x0, y0, x1, y1 = (round(side) for side in box.xyxy)
    part = picture[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    rows, columns = (max(1, -(-side // _COLOR_SIDE)) for side in part.shape[:2])
    part = part[::rows, ::columns].astype(np.float64)
    histogram = [np.histogram(part[..., channel], _BINS, (0, 256))[0] / part[..., 0].size for channel in range(3)]
    height, width = part.shape[:2]
    inner = part[height // 4 : height - height // 4, width // 4 : width - width // 4]
    contrast = (inner.mean(axis=(0, 1)) - part.mean(axis=(0, 1))) / 255
    return np.concatenate([np.sqrt(np.concatenate(histogram)), contrast])


def _chosen(coco: CocoFile, box: Box, score: float) -> Chosen:
    return Chosen(
        position=box.position,
        annotation_id=box.annotation_id,
        file_name=box.image.file_name,
        category=category_name(coco, box.category_id),
        score=None if score != score else score,
    )
