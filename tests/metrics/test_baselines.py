from __future__ import annotations

import json

import pytest
import torch

from mal.masks.rle import mask_from_rle, rle_area, rle_from_segmentation
from mal.metrics.baselines import box_mask, ellipse_mask
from mal.metrics.iou import mask_iou
from mal.metrics.iou_metric import InstanceIoU


@pytest.mark.parametrize(("name", "folder"), [("coco-mini-val", "coco-mini"), ("nuts-val", "nuts")])
@pytest.mark.parametrize(("kind", "draw"), [("box", box_mask), ("ellipse", ellipse_mask)])
def test_the_baselines_reach_the_measured_numbers_on_real_photos(shared, name, folder, kind, draw):
    expected = json.loads((shared / "data/baselines.json").read_text())[name][kind]
    document = json.loads((shared / "data" / folder / "annotations/instances_val.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    rows = []
    for record in document["annotations"]:
        if record["iscrowd"]:
            continue
        height, width = sizes[record["image_id"]]
        truth = rle_from_segmentation(record["segmentation"], height, width)
        iou = mask_iou(draw(record["bbox"], width, height), truth)
        rows.append((iou, record["category_id"], record["bbox"][2] * record["bbox"][3]))
    iou, category, area = zip(*rows, strict=True)
    metric = InstanceIoU()
    metric.update(torch.tensor(iou), torch.tensor(category), torch.tensor(area))
    summary = metric.compute()

    assert summary.all.n == expected["n"]
    assert len(summary.by_class) == expected["classes"]
    assert summary.all.instances == pytest.approx(expected["miou_instances"], abs=1e-6)
    assert summary.all.classes == pytest.approx(expected["miou_classes"], abs=1e-6)
    for size, group in summary.by_size.items():
        assert group.n == expected[f"n_{size}"]
        assert group.instances == pytest.approx(expected[f"miou_{size}"], abs=1e-6)
    assert summary.share_50 == pytest.approx(expected["frac_iou_ge_0.5"])
    assert summary.share_75 == pytest.approx(expected["frac_iou_ge_0.75"])


def test_a_box_thinner_than_a_pixel_fills_one_pixel():
    assert rle_area(box_mask((2.1, 3.1, 0.2, 0.2), 8, 8)) == 1


def test_an_ellipse_fills_its_box_to_about_pi_quarters():
    mask = mask_from_rle(ellipse_mask((10, 20, 100, 60), 200, 100))
    assert mask.sum() == pytest.approx(6000 * 3.14159 / 4, rel=0.01)
    assert not mask[:, :10].any()
    assert not mask[80:].any()


@pytest.mark.parametrize("draw", [box_mask, ellipse_mask])
def test_a_box_outside_the_image_has_an_empty_mask(draw):
    assert rle_area(draw((50, 50, 10, 10), 20, 20)) == 0


@pytest.mark.parametrize("draw", [box_mask, ellipse_mask])
def test_a_box_beyond_the_border_is_cut_at_the_border(draw):
    mask = mask_from_rle(draw((-5, -5, 10, 10), 20, 20))
    assert mask[:5, :5].any()
    assert not mask[5:].any()
    assert not mask[:, 5:].any()
