from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from mal.errors import UserError
from mal.metrics.instance_file import instance_rows, read_instances, write_instances
from tests.metrics.evaluated import HALF, PERFECT, evaluated, evaluated_file, truth


def test_rows_survive_the_way_to_the_file_and_back(tmp_path):
    coco = evaluated_file(tmp_path)
    table, classes, _ = evaluated(coco, {0: PERFECT, 1: HALF, 2: PERFECT}, agreement=0.25)
    rows = list(instance_rows(coco, table, classes))
    write_instances(rows, tmp_path / "instances.csv")
    found = read_instances(tmp_path / "instances.csv")
    assert [(row.annotation_index, row.file_name, row.category, row.iou) for row in found] == [
        (0, "1.png", "nut", 1.0),
        (1, "2.png", "nut", 0.5),
        (2, "3.png", "bolt", 1.0),
    ]
    assert found[1].dice == pytest.approx(2 / 3, abs=1e-5)
    assert (found[1].mask_area, found[1].true_area, found[1].box_area) == (100, 200, 400)
    assert found[1].box_iou_baseline == 0.5
    assert found[1].agreement == 0.25


def test_what_was_not_asked_for_is_an_empty_cell(tmp_path):
    coco = evaluated_file(tmp_path)
    table, classes, _ = evaluated(coco, {0: PERFECT})
    write_instances(instance_rows(coco, table, classes), tmp_path / "instances.csv")
    assert read_instances(tmp_path / "instances.csv")[0].agreement is None
    with (tmp_path / "instances.csv").open(encoding="utf-8") as file:
        assert next(csv.DictReader(file))["agreement"] == ""


def test_a_text_as_an_id_is_told_from_a_number(tmp_path):
    coco = evaluated_file(tmp_path, {**truth(10, 1, 3), "id": "10"})
    table, classes, _ = evaluated(coco, {0: PERFECT, 3: PERFECT})
    assert [row.annotation_id for row in instance_rows(coco, table, classes)] == ["10", '"10"']


def test_a_class_that_looks_like_a_formula_comes_back(tmp_path):
    coco = evaluated_file(tmp_path)
    table, classes, _ = evaluated(coco, {0: PERFECT})
    row = replace(next(instance_rows(coco, table, classes)), category="=cmd|' /C calc'!A0", file_name="-1.png")
    write_instances([row], tmp_path / "instances.csv")
    assert ",'=cmd" in (tmp_path / "instances.csv").read_text()
    (found,) = read_instances(tmp_path / "instances.csv")
    assert (found.category, found.file_name) == (row.category, row.file_name)


def test_another_file_is_named(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"other\.csv: is not a file of instances"):
        read_instances(tmp_path / "other.csv")
