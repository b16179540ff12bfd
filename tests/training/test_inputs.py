from __future__ import annotations

import json
import sys

import pytest

from mal.coco.boxes import select_boxes
from mal.config.schema import ExperimentSpec
from mal.errors import UserError
from mal.training.inputs import read_inputs, run_notes
from tests.cli.small_runs import small_data
from tests.coco.coco_samples import annotation, coco_file, document
from tests.small_networks import small_spec


def test_odd_records_of_both_files_are_named_and_told_apart(scenes, tmp_path):
    data = small_data(tmp_path, scenes)
    for path in (data.boxes, data.truth):
        document = json.loads(path.read_text())
        document["annotations"][0]["iscrowd"] = 1
        path.write_text(json.dumps(document))
    paths = {
        "train_ann_path": str(data.boxes),
        "train_img_dir": str(data.images),
        "val_ann_path": str(data.truth),
        "val_img_dir": str(data.images),
    }
    notes = read_inputs(small_spec(dataset=paths), seed=1, world_size=1).notes
    assert [note.reason for note in notes] == [
        "iscrowd is 1: a group region is copied, not labelled",
        "in the validation file: iscrowd is 1: a group region is copied, not labelled",
    ]


def test_a_run_with_a_key_ends_before_it_reads_anything_where_cryptography_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    spec = small_spec(encryption_key="hunter2", dataset={"train_ann_path": "missing.json", "train_img_dir": "missing"})
    with pytest.raises(UserError, match=r"^encryption_key .*: pip install 'mask-auto-labeler\[encryption\]'$"):
        read_inputs(spec, seed=1, world_size=1)


LONG = {"num_epochs": 3, "warmup_epochs": 1, "batch_size": 1}


def warnings(tmp_path, *annotations, world_size=1, dataset=None, **train) -> list[str]:
    coco = coco_file(tmp_path, document(*annotations))
    spec = ExperimentSpec.model_validate({"train": LONG | train, "dataset": dataset or {}})
    notes = run_notes(spec, coco, select_boxes(coco)[0], world_size)
    assert all((note.position, note.action) == (None, "warned") for note in notes)
    return [note.reason for note in notes]


def boxes(count: int, **changes) -> list[dict]:
    return [annotation(id=number, **changes) for number in range(count)]


def test_a_sound_run_has_nothing_to_be_said_about(tmp_path):
    assert warnings(tmp_path, *boxes(4), batch_size=2, accum_grad_batches=2) == []


@pytest.mark.parametrize(
    ("sizes", "wanted", "field"),
    [
        ({"batch_size": 4}, 4, "batch_size"),
        ({"batch_size": 2, "world_size": 2}, 4, "batch_size"),
        ({"batch_size": 3, "accum_grad_batches": 2}, 6, "accum_grad_batches"),
    ],
)
def test_fewer_boxes_than_one_step_takes_are_warned_about(tmp_path, sizes, wanted, field):
    (line,) = warnings(tmp_path, *boxes(3), **sizes)
    assert f"3 boxes to train on do not fill one step of {wanted}" in line
    assert f"train.{field}" in line


def test_fewer_boxes_than_processes_are_an_error(tmp_path):
    with pytest.raises(UserError, match="3 boxes to train on cannot be shared by 4 processes"):
        warnings(tmp_path, *boxes(3), world_size=4)


def test_categories_that_the_file_lacks_are_named_with_their_boxes(tmp_path):
    (line,) = warnings(tmp_path, *boxes(2), *boxes(3, category_id=8), *boxes(4, category_id="8"))
    assert '"categories" lacks category_id "8" (4 boxes), 8 (3 boxes): these boxes are trained on' in line


def test_many_absent_categories_are_counted(tmp_path):
    (line,) = warnings(tmp_path, *(annotation(category_id=100 + number) for number in range(8)))
    assert "104 (1 boxes) and 3 more: " in line


def test_training_and_validation_by_one_file_are_warned_about_whatever_its_names(tmp_path):
    path = tmp_path / "boxes.json"
    other = tmp_path / "other.json"
    path.write_text("{}")
    other.symlink_to(path)
    dataset = {"train_ann_path": str(path), "val_ann_path": str(other)}
    (line,) = warnings(tmp_path, *boxes(1), dataset=dataset)
    assert "dataset.train_ann_path and dataset.val_ann_path are one file" in line


@pytest.mark.parametrize(("num_epochs", "warmup_epochs"), [(1, 1), (2, 5)])
def test_a_rate_that_never_falls_is_warned_about(tmp_path, num_epochs, warmup_epochs):
    (line,) = warnings(tmp_path, *boxes(1), num_epochs=num_epochs, warmup_epochs=warmup_epochs)
    assert f"train.num_epochs = {num_epochs} is not above train.warmup_epochs = {warmup_epochs}" in line
