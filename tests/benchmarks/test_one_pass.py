"""The network of one pass a photo samples each box where it is, and starts as the starter's decoder."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
import torch

from benchmarks import one_pass
from benchmarks.one_pass import Photo, Sample, mask_loss, mirrored, table, trained_network, write_targets
from benchmarks.one_pass_network import OnePassNetwork, photo_size, signed_boxes
from mal.data.loaders import AnnotatedImages
from mal.sample.generate import make_sample
from tests.small_networks import small_fpn_network

PHOTO = torch.rand(1, 3, 128, 160, generator=torch.Generator().manual_seed(0))
FRAMES = torch.tensor([[0.0, 0, 160, 128], [8, 8, 40, 40], [60, -10, 120, 70], [100, 90, 112, 99]])
BOXES = torch.tensor([[16.0, 13, 144, 115], [12, 12, 36, 36], [68, 0, 112, 60], [101, 91, 111, 98]])


@pytest.fixture(scope="module")
def network():
    return OnePassNetwork(small_fpn_network().eval(), cells=8).eval()


@torch.no_grad()
def test_boxes_of_all_sizes_come_back_in_their_order(network):
    together = network(PHOTO, FRAMES, BOXES)
    assert len(set(network.levels(FRAMES).tolist())) > 1
    alone = [network(PHOTO, FRAMES[row : row + 1], BOXES[row : row + 1]) for row in range(len(FRAMES))]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_pyramid_is_that_of_the_decoder_it_is_made_of(network):
    fpn, maps = network.fpn, network.backbone(PHOTO)
    pyramid = network.pyramid(PHOTO)
    box = torch.zeros(1, 1, *PHOTO.shape[-2:])
    gated = pyramid[0] * (1 + fpn.instance_vectors(maps))[:, :, None, None]
    logits = fpn.mask(torch.cat([gated, torch.zeros_like(gated[:, :1])], dim=1))
    torch.testing.assert_close(logits, fpn(maps, box), rtol=1e-4, atol=1e-5)


def test_cells_on_the_border_of_a_box_count_by_their_share():
    (signed,) = signed_boxes(torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[0.5, 1, 3, 4]]), 4)
    assert (signed + 1).div(2)[0].tolist() == [[0, 0, 0, 0], *[[0.5, 1, 1, 0]] * 3]


def test_mirrored_twice_is_the_same():
    sample = Sample(PHOTO, FRAMES, BOXES, torch.rand(4, 1, 16, 16))
    once = mirrored(sample)
    assert once.boxes[1].tolist() == [124, 12, 148, 36]
    twice = mirrored(once)
    assert all(torch.equal(getattr(twice, name), getattr(sample, name)) for name in ("pixels", "frames", "targets"))


def test_the_loss_does_not_see_what_lies_outside_the_box():
    targets = torch.full((4, 1, 16, 16), 0.9)
    sample = Sample(PHOTO, FRAMES, BOXES, targets)
    logits = torch.zeros_like(targets)
    outside = signed_boxes(FRAMES, BOXES, 16) == -1
    assert outside.any()
    assert mask_loss(logits.masked_fill(outside, 9.0), sample) == mask_loss(logits, sample)
    assert mask_loss(torch.full_like(targets, 2.2), sample) < mask_loss(logits, sample)


def test_photos_get_sides_that_are_multiples_of_the_coarsest_stride():
    assert photo_size(640, 480, 640) == (640, 480)
    assert photo_size(1000, 20, 640) == (640, 32)


def test_the_table_compares_the_same_boxes():
    sets = np.array(["coco-mini", "coco-mini", "nuclei"])
    ways = [
        {
            "way": name,
            "lines": [{"set": each, "size": 0, "iou": iou} for each, iou in zip(sets, ious, strict=True)],
        }
        for name, ious in {"starter": [0.5, 0.7, 0.8], "one pass": [0.6, 0.8, 0.7]}.items()
    ]
    lines = table(ways).splitlines()
    assert lines[4] == "| one pass | coco-mini | 2 | 0.7000 | +0.1000 (± 0.0000) | 0.700 |  |  |"
    assert lines[5].startswith("| one pass | nuclei | 1 | 0.7000 | -0.1000")


@pytest.fixture
def photos(tmp_path):
    drawn = make_sample(tmp_path / "drawn", num_train_images=2, num_val_images=1, image_size=(96, 72))
    images = AnnotatedImages(drawn.instances_train, drawn.train_images)
    by_image = groupby(images.boxes_to_label, key=lambda box: box.image.position)
    return [Photo(name, images, tuple(each)) for name, (_, each) in zip(one_pass.HELD_OUT, by_image, strict=True)]


def test_interrupted_training_ends_as_if_it_had_not_been(photos, tmp_path, monkeypatch):
    start, take_step = small_fpn_network(), one_pass._take_step
    monkeypatch.setattr(one_pass, "starter_network", lambda: start)
    monkeypatch.setattr(one_pass, "LONGER_SIDE", 64)
    monkeypatch.setattr(one_pass, "STEPS_BETWEEN_FILES", 1)
    write_targets(photos, tmp_path / "targets")
    expected = trained_network(photos, tmp_path, 2).state_dict()
    (tmp_path / "network_2.pth").unlink()

    def stopped(step, *others):
        if step == 1:
            raise KeyboardInterrupt
        return take_step(step, *others)

    with monkeypatch.context() as patched:
        patched.setattr(one_pass, "_take_step", stopped)
        with pytest.raises(KeyboardInterrupt):
            trained_network(photos, tmp_path, 2)
    found = trained_network(photos, tmp_path, 2).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not torch.equal(found["head.last.weight"], start.fpn.mask[1].weight)
