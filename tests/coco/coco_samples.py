"""Small COCO files for the tests of this folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mal.coco.coco_file import CocoFile, read_coco


def document(*annotations: Any, **other: Any) -> dict[str, Any]:
    """One 100 x 80 image with id 1, category 3, and the annotations given."""
    return {
        "info": {"year": 2024},
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 80, "licence": "x"}],
        "annotations": list(annotations),
        "categories": [{"id": 3, "name": "nut"}],
    } | other


def annotation(**changes: Any) -> dict[str, Any]:
    """A sound annotation; a value of `...` takes its key away."""
    record = {"id": 10, "image_id": 1, "category_id": 3, "bbox": [10.0, 20.0, 30.0, 40.0], "iscrowd": 0} | changes
    return {key: value for key, value in record.items() if value is not ...}


def coco_file(folder: Path, content: Any) -> CocoFile:
    """Write the content (text or a JSON value; NaN and Infinity are written as such) and read it."""
    path = folder / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_coco(path)
