"""Labeling by forked processes, each with the network on one thread: the masks are those of one process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from mal.data import label_dataset
from mal.data.label_dataset import BoxCropIterable, CropBatch, crop_boxes
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler
from mal.labeling import forks
from mal.labeling.forks import labels_by_forks, num_forks
from mal.labeling.pipeline import find_labels
from mal.labeling.shards import BoxResult
from mal.models.ema import make_teacher
from mal.runtime.process_group import single_process
from mal.starter.files import starter_path
from tests.data.photos import THREE_SIZES, photos
from tests.data.processes import before_reading
from tests.small_networks import small_fpn_network, small_fpn_spec, small_network, small_spec

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")


@pytest.fixture(scope="module")
def trained() -> MaskAutoLabeler:
    network = small_fpn_network()
    torch.nn.init.normal_(network.fpn.mask[-1].weight, std=1.0)
    return MaskAutoLabeler.from_spec(network, make_teacher(network), small_fpn_spec(dataset={"crop_size": 32}))


@pytest.fixture(scope="module")
def starter() -> MaskAutoLabeler:
    return MaskAutoLabeler.from_checkpoint(starter_path(trainable=False))


@pytest.fixture
def crops_of(tmp_path) -> Callable[[MaskAutoLabeler], BoxCropIterable]:
    boxes = photos(tmp_path, [8] * 6, THREE_SIZES)  # three chunks
    return lambda labeler: BoxCropIterable(boxes, tmp_path, labeler.crop, batch_size=1)


def by_position(found) -> dict[int, BoxResult]:
    return {result.position: result for results in found for result in results}


@pytest.mark.parametrize("kind", ["trained", "starter"])
def test_processes_find_the_masks_and_scores_of_one_process(kind, crops_of, request):
    labeler = request.getfixturevalue(kind)
    stream = crops_of(labeler)
    assert stream.num_chunks == 3
    alone = by_position(find_labels(stream, labeler))
    assert by_position(labels_by_forks(stream, labeler, None, 2)) == alone
    assert len({result.label.rle["counts"] for result in alone.values()}) > 20


def test_threads_are_as_many_afterwards_as_before(trained, crops_of):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        list(labels_by_forks(crops_of(trained), trained, None, 2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_there_is_a_process_for_each_core_and_no_more_than_chunks(trained, crops_of, monkeypatch):
    def number(cores: int, labeler: MaskAutoLabeler = trained, workers: int = 2, world: int = 1) -> int:
        monkeypatch.setattr(forks, "num_cores", lambda: cores)
        return num_forks(crops_of(labeler), labeler, replace(single_process(), world_size=world), workers)

    assert [number(cores) for cores in (1, 2, 3, 64)] == [0, 2, 3, 3]
    assert number(64, workers=0) == 0
    assert number(64, world=2) == 0
    network = small_network()
    large = MaskAutoLabeler.from_spec(network, make_teacher(network), small_spec(dataset={"crop_size": 32}))
    assert number(64, large) == 0


def test_the_image_that_a_process_died_on_is_named(trained, crops_of, monkeypatch):
    before_reading(monkeypatch, label_dataset, lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(UserError, match=r"4\.png.* was killed"):
        list(labels_by_forks(crops_of(trained), trained, None, 2))


def test_crops_cut_by_numba_are_those_cut_by_pillow(tmp_path):
    boxes = photos(tmp_path, [12], THREE_SIZES)
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3)).astype(np.uint8)
    settings = label_dataset.CropSettings(crop_size=48, border="reflect")
    slow, fast = (crop_boxes(image, list(boxes), settings, compiled=compiled) for compiled in (False, True))
    assert isinstance(slow, CropBatch)
    assert np.array_equal(slow.images, fast.images)
