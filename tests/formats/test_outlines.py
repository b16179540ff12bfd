"""Polygons with few corners in every format that has polygons."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mal.formats.folders import WriteOptions
from mal.formats.outlines import outline
from mal.formats.tally import Tally
from mal.masks.rle import rle_from_mask
from tests.formats.small_coco import RING, annotation, coco_of, document, read_back, with_rles, written

POLYGONS = [("coco", "o.json"), ("cvat", "o.zip"), ("labelme", "o"), ("label-studio", "o.json"), ("yolo-seg", "o")]
MASK = RING | np.eye(*RING.shape, k=5, dtype=bool)  # with holes, and components that touch at corners


@pytest.mark.parametrize(("name", "out"), POLYGONS)
@pytest.mark.parametrize(("max_corners", "min_iou"), [(12, 0.0), (12, 0.8)])
def test_what_comes_back_has_the_told_iou_and_corners(tmp_path, name, out, max_corners, min_iou):
    coco = coco_of(tmp_path, document(annotation(5, MASK)))
    options = {"shapes": "polygons", "max_corners": max_corners, "min_iou": min_iou}
    tally = written(coco, tmp_path / out, name, **options)
    ((told, (corners, iou)),) = tally.outlines.items()
    assert told == "annotation 5 of a.png"
    again = read_back(tmp_path / out, images=tmp_path / "pictures" if name == "yolo-seg" else None)
    (mask,) = [record["segmentation"] for record in with_rles(again)]
    assert mask_utils.iou([mask], [rle_from_mask(MASK)], [0])[0, 0] == pytest.approx(iou)
    assert iou >= min_iou
    assert corners <= max_corners or min_iou
    if name in ("coco", "cvat"):
        assert sum(map(len, again["annotations"][0]["segmentation"])) == 2 * corners


@pytest.mark.parametrize("name", ["coco", "cvat"])
def test_a_drawn_polygon_stays_unless_it_has_more_corners(tmp_path, name):
    triangle, many = [1.5, 1, 9, 1, 5, 9.25], [*(2, 2, 4, 2) * 6, 8, 9]
    drawn = [annotation(5, MASK) | {"segmentation": [triangle]}, annotation(6, MASK) | {"segmentation": [many]}]
    out = tmp_path / ("o.json" if name == "coco" else "o.zip")
    tally = written(coco_of(tmp_path, document(*drawn)), out, name, shapes="polygons", max_corners=8)
    records = read_back(out)["annotations"]
    assert records[0]["segmentation"] == [triangle]
    assert sum(map(len, records[1]["segmentation"])) <= 16
    assert list(tally.outlines) == ["annotation 6 of a.png"]


def test_more_corners_and_dropped_parts_are_told():
    tally = Tally()
    options = WriteOptions(shapes="polygons", max_corners=4, min_iou=0.99)
    assert len(outline(rle_from_mask(MASK), options, tally, "annotation 5")) > 1
    assert tally.changed["more than 4 corners, for an IoU of 0.99"] == ["annotation 5"]
    outline(rle_from_mask(MASK), WriteOptions(max_corners=8), tally, "annotation 6")
    assert tally.changed["small components or holes are left out, for few corners"] == ["annotation 6"]
    assert tally.as_json()["polygons"][1]["corners"] <= 8
    assert any(line.startswith("polygons: ") and "lowest" in line for line in tally.lines())


def test_a_tolerance_counts_for_joined_components_too():
    y, x = np.mgrid[:60, :60]
    rle = rle_from_mask((x - 30) ** 2 + (y - 30) ** 2 < 25**2)
    (exact,) = outline(rle, WriteOptions(), Tally(), "", is_joined=True)
    (rough,) = outline(rle, WriteOptions(tolerance=1.0), Tally(), "", is_joined=True)
    assert len(rough) < len(exact) / 2
