"""The queue: worst first, with all that can be reviewed in it."""

from __future__ import annotations

import json
import shutil

import pytest

from mal.coco.coco_file import read_coco
from mal.errors import UserError
from mal.reading import AS_STORED
from mal.review.queue import ReviewQueue
from tests.review.reviewing import write_labels


def queue_of(labels):
    return ReviewQueue(read_coco(labels), labels.parent / "images", AS_STORED)


def changed(labels, change):
    document = json.loads(labels.read_text())
    change(document)
    labels.write_text(json.dumps(document))
    return labels


def test_marked_masks_come_first_then_the_lowest_scores_then_those_without_one(tmp_path):
    def change(document):
        scores = [0.9, 0.2, None, 0.5, 0.1, 0.3]
        for record, score in zip(document["annotations"], scores, strict=True):
            record["mask_score"] = score
        document["annotations"][3]["mal"] = {"status": "doubtful", "reason": "leaves its box"}

    queue = queue_of(changed(write_labels(tmp_path), change))
    assert queue.order.tolist() == [3, 4, 1, 5, 0, 2]
    columns = queue.columns()
    assert columns["score"] == [0.5, 0.1, 0.2, 0.3, 0.9, None]
    assert columns["doubts"] == {"3": "leaves its box"}
    assert [columns["images"]["name"][row] for row in columns["image"]] == ["1.png", "1.png", "0.png", "1.png"] + [
        "0.png"
    ] * 2


def test_boxes_without_masks_are_reviewed_and_groups_and_strays_are_not(tmp_path):
    def change(document):
        document["annotations"][0]["iscrowd"] = 1
        document["annotations"][1]["image_id"] = 99
        document["annotations"][2].pop("segmentation")
        document["annotations"][3] |= {"segmentation": [], "bbox": None}

    queue = queue_of(changed(write_labels(tmp_path), change))
    assert sorted(queue.order.tolist()) == [2, 4, 5]
    assert queue.left_out == 3


def test_a_file_without_anything_to_review_is_said(tmp_path):
    labels = changed(write_labels(tmp_path), lambda document: document.update(annotations=[]))
    with pytest.raises(UserError, match="nothing to review"):
        queue_of(labels)


def test_a_folder_without_any_of_the_pictures_is_said(tmp_path):
    labels = write_labels(tmp_path)
    shutil.rmtree(tmp_path / "images")
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=r"holds none of the pictures that .* names \(such as 0.png\)"):
        queue_of(labels)
