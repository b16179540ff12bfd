from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mal.errors import UserError
from mal.formats.label_studio_rle import decode
from mal.masks.rle import mask_from_rle, rle_from_mask, rle_from_segmentation
from mal.serve.label_studio_tasks import (
    Rectangle,
    find_control,
    find_rectangles,
    rectangles_in,
    regions_of_mask,
    require_labels,
)

BRUSH = '<BrushLabels name="mask" toName="image"><Label value="nut"/><Label value="Screw" alias="screw"/></BrushLabels>'
POLYGON = '<PolygonLabels name="outline" toName="image"><Label value="nut"/></PolygonLabels>'
BOXES = '<RectangleLabels name="box" toName="image" smart="true"><Label value="nut"/></RectangleLabels>'
IMAGE = '<Image name="image" value="$photo"/>'


def config(*tags: str) -> str:
    return f"<View>{''.join(tags)}</View>"


def region(number: int, x=10.0, y=20.0, width=30.0, height=40.0, **more):
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["nut"]}
    return {"id": f"r{number}", "type": "rectanglelabels", "to_name": "image", "value": value} | more


CONTROL = find_control(config(IMAGE, BRUSH, BOXES))


def test_a_brush_goes_before_polygons():
    control = find_control(config(POLYGON, IMAGE, BRUSH))
    assert (control.name, control.to_name, control.kind, control.data_key) == ("mask", "image", "brushlabels", "photo")
    assert control.labels == {"nut", "screw"}
    assert find_control(config(POLYGON, IMAGE)).kind == "polygonlabels"


def test_labels_that_the_tasks_bring_are_not_checked():
    dynamic = '<BrushLabels name="mask" toName="image" value="$classes"/>'
    require_labels(rectangles_in([region(1)], CONTROL), find_control(config(IMAGE, dynamic)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (config(IMAGE, BOXES), "has no BrushLabels and no PolygonLabels"),
        (config(BRUSH), "has no BrushLabels and no PolygonLabels"),
        (config('<Image name="other" value="$a"/>', BRUSH), "has no BrushLabels and no PolygonLabels"),
        (config('<Image name="image" value="http://h/$id.png"/>', BRUSH), "only the address under one key"),
        (config('<Image name="image" valueList="$pages"/>', BRUSH), "only the address under one key"),
        ("<View>", "not valid XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>', "DOCTYPE"),
    ],
)
def test_a_config_without_a_fitting_tag_is_told(text, said):
    with pytest.raises(UserError, match=said):
        find_control(text)


def test_rectangles_come_from_the_first_annotation_that_has_some():
    brush = {"id": "b", "type": "brushlabels", "value": {"rle": [], "brushlabels": ["nut"]}}
    task = {
        "annotations": [
            {"result": [region(1)], "was_cancelled": True},
            {"result": [brush]},
            {"result": [region(2), brush, region(3)]},
            {"result": [region(4)]},
        ],
        "predictions": [{"result": [region(5)]}],
    }
    assert [found.region_id for found in find_rectangles(task, CONTROL)] == ["r2", "r3"]


def test_without_annotations_rectangles_come_from_a_prediction():
    task = {"annotations": [], "predictions": [{"result": [region(5)], "model_version": "detector"}]}
    assert [found.region_id for found in find_rectangles(task, CONTROL)] == ["r5"]


@pytest.mark.parametrize("task", [{}, {"annotations": None}, {"annotations": [3]}, {"annotations": [{"result": 1}]}])
def test_a_task_without_rectangles_has_none(task):
    assert find_rectangles(task, CONTROL) == []


def test_regions_of_other_images_and_of_turned_ones_are_left_out():
    regions = [region(1, to_name="other"), region(2, image_rotation=90), region(3)]
    assert [found.region_id for found in rectangles_in(regions, CONTROL)] == ["r3"]


def test_a_label_that_the_tag_lacks_is_named():
    other = region(1)
    other["value"]["rectanglelabels"] = ["nut", "bolt"]
    with pytest.raises(UserError, match="the tag 'mask' of the labeling config lacks labels of rectangles: add"):
        require_labels(rectangles_in([other], CONTROL), CONTROL)


def test_a_rectangle_has_corners_in_pixels():
    (found,) = rectangles_in([region(1)], CONTROL)
    assert found.xyxy(200, 50) == (20.0, 10.0, 80.0, 30.0)


def test_a_turned_rectangle_has_the_box_around_it():
    turned = Rectangle("r", {"x": 50, "y": 0, "width": 20, "height": 10, "rotation": 90}, ())
    assert turned.xyxy(100, 100) == pytest.approx((40.0, 0.0, 50.0, 20.0))


@pytest.mark.parametrize("value", [{"width": 0}, {"x": None}, {"x": "a"}])
def test_a_broken_rectangle_is_refused(value):
    (found,) = rectangles_in([region(1, **value) if "width" in value else region(1)], CONTROL)
    with pytest.raises(ValueError):
        Rectangle("r", found.value | value, ()).xyxy(100, 100)


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_brush_and_polygons_give_back_every_pixel(mask):
    size = mask.shape[::-1]
    rectangle = Rectangle("r", {}, ("nut",))
    for tag, shape in ((BRUSH, "rle"), (POLYGON, "points")):
        regions = regions_of_mask(rle_from_mask(mask), 0.5, rectangle, find_control(config(IMAGE, tag)), size)
        values = [found["value"][shape] for found in regions]
        if shape == "rle":
            masks = [decode(value, *mask.shape) for value in values]
        else:
            polygons = [(np.array(value) / 100 * size).ravel().tolist() for value in values]
            masks = [mask_from_rle(rle_from_segmentation(polygons, *mask.shape))] if polygons else []
        np.testing.assert_array_equal(masks[0] if masks else np.zeros_like(mask), mask)
        assert len({found["id"] for found in regions}) == len(regions)
