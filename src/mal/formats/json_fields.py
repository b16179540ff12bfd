"""Read typed values from JSON records; errors name the key and the expected type."""

from __future__ import annotations

import math
from typing import Any

from mal.coco.coco_file import show

Json = dict[str, Any]


def object_at(record: Json, key: str) -> Json:
    """The object under a key.

    Raises:
        ValueError: it is missing or something else.
    """
    return an_object(_present(record, key), f"the key {key!r}")


def list_at(record: Json, key: str) -> list[Any]:
    """The list under a key.

    Raises:
        ValueError: it is missing or something else.
    """
    value = _present(record, key)
    if not isinstance(value, list):
        raise ValueError(f"the key {key!r} is {show(value)}, not a list")
    return value


def text_at(record: Json, key: str) -> str:
    """The text under a key; numbers, which people use as labels, become texts.

    Raises:
        ValueError: it is missing, empty or something else.
    """
    value = _present(record, key)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
        raise ValueError(f"the key {key!r} is {show(value)}, not a text")
    return str(value)


def number_at(record: Json, key: str) -> float:
    """The finite number under a key.

    Raises:
        ValueError: it is missing or something else.
    """
    return a_number(_present(record, key), f"the key {key!r}")


def points_at(record: Json, key: str) -> list[tuple[float, float]]:
    """The list of x, y pairs under a key.

    Raises:
        ValueError: it is missing or something else.
    """
    found = []
    for point in list_at(record, key):
        if not isinstance(point, list) or len(point) != 2:
            raise ValueError(f"a point is {show(point)}, not x and y")
        found.append((a_number(point[0], "a point's x"), a_number(point[1], "a point's y")))
    return found


def an_object(value: Any, what: str) -> Json:
    """The value itself.

    Raises:
        ValueError: it is no object.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {show(value)}, not an object")
    return value


def a_number(value: Any, what: str) -> float:
    """A finite number, also one that is written as a text.

    Raises:
        ValueError: it is something else.
    """
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{what} is {show(value)}, not a number")
    return number


def pixels_or_none(record: Json, width: str, height: str) -> tuple[int, int] | None:
    """The size under two keys; None where a side is missing, null, zero or no whole number of pixels."""
    sides = [record.get(key) for key in (width, height)]
    whole = [_length(side) for side in sides]
    return (whole[0], whole[1]) if all(whole) else None


def _length(value: Any) -> int:
    """Whole pixels; 0 where the value is none."""
    try:
        number = a_number(value, "a side")
    except ValueError:
        return 0
    return int(number) if 0 < number < 2**31 and number.is_integer() else 0


def _present(record: Json, key: str) -> Any:
    if key not in record:
        raise ValueError(f"the key {key!r} is missing")
    return record[key]
