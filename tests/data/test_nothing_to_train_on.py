from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.data.datamodule import AnnotatedImages
from mal.data.nothing_to_train_on import _advice
from mal.errors import UserError
from tests.data.coco_samples import annotation, coco_file, document


def reason(tmp_path, *annotations, min_obj_size=100.0, max_obj_size=1600.0) -> str:
    coco = coco_file(tmp_path, document(*annotations))
    with pytest.raises(UserError) as caught:
        AnnotatedImages(coco.path, tmp_path).boxes_to_train_on(min_obj_size=min_obj_size, max_obj_size=max_obj_size)
    line = str(caught.value)
    assert line.startswith(f"{coco.path}: no box to train on: ")
    assert "\n" not in line
    return line


def boxes_of(*areas: float) -> list[dict]:
    return [annotation(id=number, bbox=[1, 1, 4, area / 4]) for number, area in enumerate(areas)]


def test_a_file_without_annotations_says_so(tmp_path):
    assert "the file has no annotations" in reason(tmp_path)


def test_a_file_of_groups_only_says_so(tmp_path):
    assert "all 2 annotations are groups (iscrowd is 1)" in reason(tmp_path, *[annotation(iscrowd=1)] * 2)


def test_annotations_without_bbox_are_counted_with_the_first_one_named(tmp_path):
    crowd, bare = annotation(iscrowd=1), [annotation(id=number, bbox=...) for number in (7, 8)]
    line = reason(tmp_path, crowd, *bare)
    assert "of 3 annotations none can be used (2 like annotation 7: the annotation has no bbox; 1 like" in line


def test_boxes_below_the_smallest_size_are_told_with_their_sizes_and_a_value_that_keeps_half(tmp_path):
    line = reason(tmp_path, *boxes_of(20, 30, 40, 50))
    assert "all 4 boxes are left out for their size" in line
    assert "4 have an area of at most min_obj_size = 100 square pixels" in line
    assert "areas are 20 to 50, and dataset.min_obj_size=39 would keep 2 of those 4" in line


def test_boxes_above_the_largest_size_are_told_with_a_value_that_keeps_half(tmp_path):
    line = reason(tmp_path, *boxes_of(20, 200, 220, 240), max_obj_size=150.0)
    assert "1 have an area of at most min_obj_size = 100" in line
    assert "areas are 200 to 240, and dataset.max_obj_size=221 would keep 2 of those 3" in line


def test_boxes_that_are_all_thin_need_no_other_limit(tmp_path):
    line = reason(tmp_path, annotation(bbox=[1, 1, 2, 50]))
    assert "1 are at most 2 pixels wide or high" in line
    assert "obj_size" not in line


areas = st.lists(st.floats(min_value=4.1, max_value=1e6), max_size=9)


@given(small=areas, large=areas)
def test_the_value_named_keeps_as_many_as_said_and_at_least_half(small, large):
    said = re.search(r"dataset\.(\w+)=(\d+) would keep (\d+) of those (\d+)", _advice(sorted(small), sorted(large)))
    if said is None:
        assert not small + large
        return
    of_field = small if said[1] == "min_obj_size" else large
    kept = [area > int(said[2]) if said[1] == "min_obj_size" else area < int(said[2]) for area in of_field]
    assert (sum(kept), len(kept)) == (int(said[3]), int(said[4]))
    assert 2 * sum(kept) >= len(kept) >= max(len(small), len(large))


def test_boxes_in_shares_of_the_image_are_said_to_be_that(tmp_path):
    said = reason(tmp_path, *[annotation(id=id, bbox=[0.1, 0.2, 0.3, 0.4]) for id in range(3)])
    assert "3 are at most 2 pixels wide or high" in said
    assert "all 3 boxes lie within 0..1: bbox looks normalised" in said
