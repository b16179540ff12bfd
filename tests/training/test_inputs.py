from __future__ import annotations

import json

from mal.training.inputs import read_inputs
from tests.cli.small_runs import small_data
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
    notes = read_inputs(small_spec(dataset=paths), seed=1).notes
    assert [note.reason for note in notes] == [
        "iscrowd is 1: a group region is copied, not labelled",
        "in the validation file: iscrowd is 1: a group region is copied, not labelled",
    ]
