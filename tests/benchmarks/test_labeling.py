"""The plain pipeline and the product give the same masks, whatever comes in whatever order."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch

from benchmarks.baselines.plain_labeling import PlainCrops
from benchmarks.labeling import assert_same_masks, baseline_labels, labeler_with, product_labels
from benchmarks.photos_with_boxes import photos_with_boxes
from mal.console import console
from mal.data.images import read_image
from mal.data.label_dataset import crop_boxes
from mal.data.loaders import AnnotatedImages, crop_loader
from mal.labeling import pipeline
from mal.masks.rle import rle_from_mask
from mal.size_bins import size_bin
from tests.data.photos import THREE_SIZES, photos
from tests.small_networks import small_network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def labeler():
    """A small network whose probabilities are on both sides of the threshold."""
    network = small_network()
    with torch.no_grad():
        network.roi_head.mlp2.bias.normal_(0, 3)
    return labeler_with(network, CPU, crop_size=64)


@pytest.fixture
def source(tmp_path):
    return source_of(tmp_path, [5, 1, 9, 2])


def source_of(folder, boxes_of_image):
    photos(folder, boxes_of_image, THREE_SIZES)
    return AnnotatedImages(next(folder.glob("*.json")), folder)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 50])
@pytest.mark.parametrize("workers", [0, 2])
def test_boxes_of_all_sizes_get_the_masks_of_the_plain_pipeline(labeler, source, batch_size, workers):
    product = product_labels(source, labeler, batch_size, workers)
    assert_same_masks(baseline_labels(source, labeler, batch_size, 0), product)
    assert len({rle["counts"] for rle in product.values()}) > len(product) // 2


@pytest.mark.parametrize("boxes_of_image", [[1], [0, 1, 0], []])
def test_one_box_and_no_box_get_their_masks(labeler, tmp_path, boxes_of_image):
    source = source_of(tmp_path, boxes_of_image)
    product = product_labels(source, labeler, 4, 0)
    assert len(product) == sum(boxes_of_image)
    assert_same_masks(baseline_labels(source, labeler, 4, 0), product)


def test_real_photos_get_the_masks_of_the_plain_pipeline(labeler, shared, tmp_path):
    source = photos_with_boxes(tmp_path, 60)
    assert {size_bin(box.area) for box in source.boxes_to_label} == {0, 1, 2}
    assert_same_masks(baseline_labels(source, labeler, 8, 0), product_labels(source, labeler, 8, 0))


@pytest.mark.parametrize("threads", [0, 3])
def test_images_that_fail_in_between_leave_the_other_masks_as_they_are(labeler, source, monkeypatch, threads):
    monkeypatch.setattr(pipeline, "num_encoder_threads", lambda device: threads)
    whole = product_labels(source, labeler, 4, 0)
    (source.img_dir / "1.png").write_bytes(b"damaged")
    (source.img_dir / "3.png").unlink()
    batches = crop_loader(source.boxes_to_label, source.img_dir, labeler.crop, batch_size=4, num_workers=0)
    results = [result for batch in pipeline.find_labels(batches, labeler) for result in batch]
    labels = {result.position: result.label for result in results if result.label}
    assert sorted(result.position for result in results if result.failed) == [5, 15, 16]
    assert_same_masks({position: whole[position] for position in labels}, {p: each.rle for p, each in labels.items()})
    assert sorted([*labels, 5, 15, 16]) == list(range(17))


def test_threads_beside_a_gpu_give_the_same_labels(labeler, source, monkeypatch):
    alone = product_labels(source, labeler, 2, 0)
    monkeypatch.setattr(pipeline, "num_encoder_threads", lambda device: 3)
    assert product_labels(source, labeler, 2, 0) == alone


def test_only_one_mask_is_kept_as_pixels_at_a_time(labeler, source, monkeypatch):
    windows, alive = [], []
    encode = pipeline._box_result

    def watched(box, mask, truth):
        windows.append(weakref.ref(mask.window))
        alive.append(sum(window() is not None for window in windows))
        return encode(box, mask, truth)

    monkeypatch.setattr(pipeline, "_box_result", watched)
    product_labels(source, labeler, 8, 0)
    assert len(alive) == len(source.boxes_to_label)
    assert max(alive) <= 2  # a mask is made before the name of the last one is given to it


def test_a_plain_crop_is_the_product_s(labeler, source):
    crops = PlainCrops(source.boxes_to_label, source.img_dir, 64)
    for index, box in enumerate(source.boxes_to_label):
        image, box_mask, frame, _ = crops[index]
        product = crop_boxes(read_image(source.img_dir / box.image.file_name), [box], labeler.crop)
        assert np.array_equal(image.numpy(), product.images[0])
        assert np.array_equal(box_mask.numpy(), product.box_mask[0])
        assert frame == product.frames[0]


def test_a_benchmark_refuses_masks_that_differ():
    mask = np.zeros((40, 40), dtype=bool)
    mask[5:30, 5:30] = True
    other = mask.copy()
    other[5, 5:8] = False
    with pytest.raises(AssertionError, match="3 pixels of the mask"):
        assert_same_masks({7: rle_from_mask(mask)}, {7: rle_from_mask(other)})
    with pytest.raises(AssertionError, match="1 boxes against 0"):
        assert_same_masks({7: rle_from_mask(mask)}, {})


def test_boxes_are_drawn_where_there_are_no_photos(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.photos_with_boxes.REAL", tmp_path / "none")
    assert len(photos_with_boxes(tmp_path, 5).boxes_to_label) == 5


@pytest.fixture(autouse=True)
def nothing_on_the_terminal(monkeypatch):
    monkeypatch.setattr(console, "quiet", True)
