from __future__ import annotations

import json

import pytest
from pycocotools.coco import COCO

from mal.errors import UserError
from mal.metrics.predictions import PredictionsPart, WrittenPart, read_predictions, write_predictions
from tests.metrics.evaluated import HALF, PERFECT, evaluated, evaluated_file


def parts_of_two_processes(folder, path) -> list[WrittenPart]:
    _, _, boxes = evaluated(evaluated_file(folder), {})
    parts = [PredictionsPart(path, rank) for rank in (0, 1)]
    for rank, box, rle in ((0, boxes[2], HALF), (1, boxes[1], PERFECT), (0, boxes[0], PERFECT)):
        parts[rank].add(box, rle, 0.5)
    return [part.close() for part in parts]


def test_masks_of_all_processes_come_in_the_order_of_the_annotations(tmp_path):
    path = tmp_path / "predictions.json"
    write_predictions(parts_of_two_processes(tmp_path, path), path)
    found = list(read_predictions(path))
    assert [(each.annotation_index, each.annotation_id, each.rle) for each in found] == [
        (0, 10, PERFECT),
        (1, 11, PERFECT),
        (2, 12, HALF),
    ]


def test_only_the_complete_file_is_left(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    write_predictions(parts_of_two_processes(tmp_path, folder / "predictions.json"), folder / "predictions.json")
    assert [file.name for file in folder.iterdir()] == ["predictions.json"]


def test_pycocotools_loads_the_file_as_results(tmp_path, capfd):
    path = tmp_path / "predictions.json"
    write_predictions(parts_of_two_processes(tmp_path, path), path)
    results = COCO(str(tmp_path / "boxes.json")).loadRes(str(path))
    assert [record["area"] for record in results.dataset["annotations"]] == [200, 200, 100]


def test_without_masks_the_file_is_an_empty_list(tmp_path):
    path = tmp_path / "predictions.json"
    write_predictions([PredictionsPart(path, 0).close()], path)
    assert json.loads(path.read_text()) == []
    assert list(read_predictions(path)) == []


def test_a_part_is_removed_where_an_evaluation_breaks_off(tmp_path):
    with pytest.raises(UserError), PredictionsPart(tmp_path / "predictions.json", 0):
        raise UserError("the pictures are gone")
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_another_machine_has_written_elsewhere_is_missed(tmp_path):
    path = tmp_path / "predictions.json"
    parts = parts_of_two_processes(tmp_path, path)
    parts[1].path.unlink()
    with pytest.raises(UserError, match="a folder that all machines share"):
        write_predictions(parts, path)
    assert not path.exists()


def test_a_file_of_another_kind_is_named(tmp_path):
    path = tmp_path / "other.json"
    path.write_text('[\n{"image_id": 1}\n]\n')
    with pytest.raises(UserError, match=r"other\.json: is not a file of predictions"):
        list(read_predictions(path))
