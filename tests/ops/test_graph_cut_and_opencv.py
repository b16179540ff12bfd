"""Masks of the graph cut beside those of OpenCV's GrabCut from the same seeds: none may be worse on average."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.graph_cut import make_scene
from benchmarks.graph_cut_study import ellipse, grab_cut, refined, windows
from mal.coco.ground_truth import GroundTruth
from mal.data.loaders import AnnotatedImages

pytest.importorskip("cv2", reason="opencv-python-headless is a dependency of the tests alone")
TOLERANCE = 0.003  # of mean IoU


def assert_as_good_as_grab_cut(shown):
    ours = np.mean([window.iou(refined(window)) for window in shown])
    theirs = np.mean([window.iou(grab_cut(window)) for window in shown])
    assert ours >= theirs - TOLERANCE, f"mean IoU {ours:.4f}, GrabCut {theirs:.4f}"


def boxes_of(source: AnnotatedImages, count: int):
    truth, boxes = GroundTruth(source.coco), source.boxes_to_label
    chosen = sorted(np.random.default_rng(0).permutation(len(boxes))[:count])
    return [boxes[index] for index in chosen if truth.rle(boxes[index]) is not None]


@pytest.mark.parametrize("side", [32, 96])
def test_on_pictures_of_blobs(side):
    assert_as_good_as_grab_cut([make_scene(side, seed, noise) for seed in range(4) for noise in (25, 40)])


def test_on_generated_scenes(scenes):
    source = AnnotatedImages(scenes / "annotations" / "instances_train.json", scenes / "images" / "train")
    assert_as_good_as_grab_cut(list(windows(source, boxes_of(source, 60), ellipse)))


@pytest.mark.parametrize("name", ["coco-mini", "nuts"])
def test_on_photos(shared, name):
    folder = shared / "data" / name
    source = AnnotatedImages(folder / "annotations" / "instances_train.json", folder / "images" / "train")
    assert_as_good_as_grab_cut(list(windows(source, boxes_of(source, 40), ellipse)))
