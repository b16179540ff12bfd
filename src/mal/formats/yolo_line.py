"""Parse a line of a YOLO label file: a box, a polygon, or a box with key points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mal.masks.rle import rle_area, rle_from_segmentation

_WORDS = "a box is `class cx cy w h`, a polygon `class x1 y1 x2 y2 x3 y3 ...`, either with a confidence behind it"
_POSE_HINT = "; should this be a box with key points, say so by kpt_shape in data.yaml"
_SLACK = 0.01  # shares beside the image that trainers take too


@dataclass(frozen=True)
class LabelLine:
    """A parsed line.

    Attributes:
        number: of the class, from 0 on.
        xywh: the box in pixels.
        more: other keys of a COCO record: ``segmentation`` and ``area``, ``score``.
        has_key_points: whether it had some, which are not kept.
    """

    number: int
    xywh: tuple[float, float, float, float]
    more: dict[str, Any]
    has_key_points: bool = False


def read_line(words: list[str], size: tuple[int, int], key_points: int) -> LabelLine:
    """Parse the words of a line.

    Args:
        words: the class and its numbers, shares of the image.
        size: width and height of the image in pixels.
        key_points: values of the key points behind a box; 0 where the data set has none.

    Raises:
        ValueError: the line is broken.
    """
    number, values = _class_number(words[0]), _numbers(words[1:])
    if key_points and len(values) in (4 + key_points, 5 + key_points):
        score = values[4 + key_points :]
        return LabelLine(number, _parse_box(_shares(values[:4]), size), _scored(score), has_key_points=True)
    if key_points and len(values) not in (4, 5):
        raise ValueError(f"{len(words)} words; by kpt_shape a line has {5 + key_points}, the key points behind a box")
    if len(values) in (4, 5):
        return LabelLine(number, _parse_box(_shares(values[:4]), size), _scored(values[4:]))
    if len(values) < 6:
        raise ValueError(f"{len(words)} words; {_WORDS}")
    corners = len(values) // 2 * 2
    shares = _shares(values[:corners], _POSE_HINT if _may_be_pose(values) else "")
    box, mask = _parse_polygon(shares, size)
    return LabelLine(number, box, mask | _scored(values[corners:]))


def _class_number(word: str) -> int:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not (value >= 0 and value.is_integer() and math.isfinite(value)):
        raise ValueError(f"class {word!r} is not a number from 0 on")
    return int(value)


def _numbers(words: list[str]) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError:
        raise ValueError("a value is not a number") from None


def _shares(values: list[float], hint: str = "") -> list[float]:
    if not all(math.isfinite(value) and -_SLACK <= value <= 1 + _SLACK for value in values):
        raise ValueError(
            f"a value is not a share of the image, 0 to 1: YOLO's numbers are divided by width and height{hint}"
        )
    return values


def _may_be_pose(values: list[float]) -> bool:
    """Whether every third value behind a box is a visibility: 0 not there, 1 hidden, 2 seen."""
    return len(values) >= 7 and len(values) % 3 == 1 and set(values[6::3]) <= {0.0, 1.0, 2.0}


def _scored(values: list[float]) -> dict[str, Any]:
    return {"score": _shares(values)[0]} if values else {}


def _parse_box(shares: list[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    center_x, center_y, width, height = (share * size[axis % 2] for axis, share in enumerate(shares))
    if width <= 0 or height <= 0:
        raise ValueError("the box has no extent")
    left, top = round(center_x - width / 2, 4), round(center_y - height / 2, 4)
    return left, top, round(width, 4), round(height, 4)


def _parse_polygon(
    shares: list[float], size: tuple[int, int]
) -> tuple[tuple[float, float, float, float], dict[str, Any]]:
    points = [round(share * size[axis % 2], 3) for axis, share in enumerate(shares)]
    xs, ys = points[0::2], points[1::2]
    box = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    if box[2] <= 0 or box[3] <= 0:
        raise ValueError("the polygon has no extent")
    area = rle_area(rle_from_segmentation([points], size[1], size[0]))
    return box, {"segmentation": [points], "area": area}
