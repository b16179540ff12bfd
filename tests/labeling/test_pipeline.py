"""The one loop of inference, which labels, evaluation and box noise share."""

from __future__ import annotations

from pathlib import Path

import pytest

from mal.coco.boxes import Box
from mal.data.label_dataset import CropBatch
from mal.data.loaders import AnnotatedImages, crop_loader
from mal.labeler import MaskAutoLabeler
from mal.labeling.pipeline import MaskedBoxes, find_labels, label_batches
from mal.models.ema import make_teacher
from tests.data.photos import THREE_SIZES, photos
from tests.small_networks import small_network, small_spec


@pytest.fixture(scope="module")
def labeler() -> MaskAutoLabeler:
    network = small_network()
    return MaskAutoLabeler.from_spec(network, make_teacher(network), small_spec(dataset={"crop_size": 32}))


@pytest.fixture
def batches(tmp_path, labeler) -> list[CropBatch]:
    photos(tmp_path, [3, 4, 2], THREE_SIZES)
    (tmp_path / "1.png").unlink()
    source = AnnotatedImages(tmp_path / "boxes.json", Path(tmp_path))
    return list(crop_loader(source.boxes_to_label, source.img_dir, labeler.crop, batch_size=2, num_workers=0))


def test_every_box_of_every_batch_comes_with_a_mask_of_each_labeler_in_order(batches, labeler):
    def finish(batch: CropBatch, masked: MaskedBoxes) -> tuple[int, list[tuple[Box, int]]]:
        return len(batch), [(box, len(masks)) for box, masks in masked]

    found = list(label_batches(batches, [labeler, labeler], finish))
    assert [count for count, _ in found] == [len(batch) for batch in batches]
    assert [entry for _, entries in found for entry in entries] == [
        (box, 2) for batch in batches for box in batch.boxes
    ]


def test_labels_and_failures_together_are_all_boxes(batches, labeler):
    found = [result for results in find_labels(batches, labeler) for result in results]
    assert sorted(result.position for result in found) == list(range(9))
    assert sum(result.failed is not None for result in found) == 4
