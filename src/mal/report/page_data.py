"""What the report's script reads: columns of all masks, and pictures of some, as JSON inside the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mal.data.coco import show
from mal.data.json_out import dumps
from mal.report.instances import MEASURES, Column, Instances
from mal.report.thumbnails import Thumbnail

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


def script_json(value: Any) -> str:
    """JSON that can stand inside a script element: no text in it can end the element."""
    return dumps(value).decode("utf-8").replace("<", "\\u003c")


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
