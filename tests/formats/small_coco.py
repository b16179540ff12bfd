"""Small COCO documents with masks, and conversions of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as mask_utils

from mal.coco.coco_file import CocoFile, read_coco
from mal.formats.folders import ReadOptions, WriteOptions
from mal.formats.formats import WRITERS, read
from mal.formats.recognize import input_format
from mal.formats.tally import Tally
from mal.masks.rle import rle_area, rle_from_mask, rle_from_segmentation

WIDTH, HEIGHT = 14, 11
RING = np.zeros((HEIGHT, WIDTH), bool)
RING[2:8, 3:9] = True
RING[4:6, 5:7] = False  # a hole
RING[9, 1:12] = True  # a part that is one pixel thin
masks = arrays(bool, (HEIGHT, WIDTH)).filter(np.any)


def annotation(number: int, mask: np.ndarray | None, image_id: Any = 7, **more: Any) -> dict[str, Any]:
    """A record with its mask, or with a box alone; an extra key shows whether such keys are kept."""
    record = {"id": number, "image_id": image_id, "category_id": 3, "iscrowd": 0, "note": f"no. {number}"}
    if mask is None:
        return record | {"bbox": [2.5, 1.25, 6.0, 7.5]} | more
    rle = rle_from_mask(mask)
    box = mask_utils.toBbox(rle).tolist() if mask.any() else [2.0, 1.0, 6.0, 7.0]
    return record | {"bbox": box, "segmentation": rle, "area": rle_area(rle)} | more


def document(*annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Two images, the second without annotations, two classes, the first of which is not used."""
    size = {"width": WIDTH, "height": HEIGHT}
    return {
        "info": {"year": 2024},
        "images": [{"id": 7, "file_name": "a.png", **size, "by": "x"}, {"id": 4, "file_name": "deep/b.c.png", **size}],
        "annotations": list(annotations),
        "categories": [{"id": 8, "name": "bolt", "supercategory": "y"}, {"id": 3, "name": "nut & co"}],
    } | more


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Documents with up to three masks of any form."""
    drawn = draw(st.lists(masks, min_size=1, max_size=3))
    return document(*(annotation(number * 5 + 2, mask) for number, mask in enumerate(drawn)))


def coco_of(folder: Path, content: dict[str, Any]) -> CocoFile:
    """The document as a file, with its pictures beside it in ``pictures/``."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in content["images"]:
        path = folder / "pictures" / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    path = folder / "in.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return read_coco(path)


def written(coco: CocoFile, out: Path, name: str, **options: Any) -> Tally:
    """Write a format; returns what was said."""
    tally = Tally()
    WRITERS[name](coco, out, WriteOptions(**options), tally)
    return tally


def read_back(path: Path, **options: Any) -> dict[str, Any]:
    """The document in a file or folder of any format, all of it in memory."""
    tally = Tally()
    coco, _ = read(path, input_format(path), ReadOptions(**options), tally)
    assert not tally.left_out
    return {key: value if isinstance(value, dict) else list(value) for key, value in coco.document.items()}


def with_rles(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The annotations, each mask as RLE, so that they can be compared."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    return [
        record | {"segmentation": rle_from_segmentation(record["segmentation"], *sizes[record["image_id"]])}
        if record.get("segmentation")
        else record
        for record in content["annotations"]
    ]
