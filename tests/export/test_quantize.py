"""Networks in int8: half the time of the network for nearly the same masks."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from mal.cli import main
from mal.coco.boxes import Box
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler
from mal.metrics.iou import mask_iou
from mal.models.ema import make_teacher
from mal.sample.generate import make_sample
from mal.starter.files import starter_path
from mal.tasks import export_onnx
from tests.export.exported import small_fpn_checkpoint
from tests.small_networks import small_network, small_spec

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from mal.export.quantize import CALIBRATION_BOXES, calibration_crops, quantize

MAKE_CHECKPOINT = small_fpn_checkpoint


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("sample"), num_train_images=0, num_val_images=3, image_size=(320, 240))


@pytest.fixture
def ready(exported, monkeypatch):
    """Exports take the file that is there already."""
    monkeypatch.setattr(export_onnx, "write_onnx", lambda networks, spec, path, **_: shutil.copy(exported, path))


def test_the_starter_in_int8_gives_nearly_its_masks_and_keeps_its_settings(sample, tmp_path):
    exported, path = starter_path(trainable=False), tmp_path / "int8.onnx"
    exact = MaskAutoLabeler.from_checkpoint(exported)
    batches = calibration_crops(sample.instances_val, sample.val_images, exact.crop)
    quantize(exported, path, batches)
    fast = MaskAutoLabeler.from_checkpoint(path)
    assert (fast.crop, fast.mode, fast.thresholds) == (exact.crop, exact.mode, exact.thresholds)
    assert path.stat().st_size < exported.stat().st_size / 3
    ious = [
        mask_iou(ours.rle(), theirs.rle())
        for batch in batches
        for ours, theirs in zip(exact.masks(batch), fast.masks(batch), strict=True)
    ]
    assert np.mean(ious) > 0.95


def test_the_crops_are_of_boxes_spread_over_the_file(sample):
    photos = AnnotatedImages(sample.instances_val, sample.val_images)
    count = len(photos.boxes_to_label)
    assert 2 < count <= CALIBRATION_BOXES
    crop = MaskAutoLabeler.from_checkpoint().crop
    boxes: list[Box] = [
        box for batch in calibration_crops(photos.coco.path, photos.img_dir, crop) for box in batch.boxes
    ]
    assert {box.position for box in boxes} == {box.position for box in photos.boxes_to_label}


def test_export_writes_int8_and_says_how_well_masks_agree(ready, checkpoint, sample, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export_onnx, "LEAST_AGREEMENT", 0.0)  # random weights are no measure
    out = tmp_path / "int8.onnx"
    assert export_onnx.run(checkpoint, out, calibration=(sample.instances_val, sample.val_images)) == 0
    assert "masks agree with float32 with IoU" in capsys.readouterr().out.replace("\n", " ")
    assert [path.name for path in tmp_path.iterdir()] == ["int8.onnx"]
    assert MaskAutoLabeler.from_checkpoint(out).student.takes_box


def test_masks_that_are_others_are_not_written(ready, checkpoint, sample, tmp_path, monkeypatch):
    monkeypatch.setattr(export_onnx, "LEAST_AGREEMENT", 1.1)
    with pytest.raises(UserError, match=r"^--int8: masks agree .* nothing was written"):
        export_onnx.run(checkpoint, tmp_path / "o.onnx", calibration=(sample.instances_val, sample.val_images))
    assert not list(tmp_path.iterdir())


def test_a_network_without_the_box_as_an_input_is_refused(sample, tmp_path):
    network = small_network()
    labeler = MaskAutoLabeler.from_spec(network, make_teacher(network), small_spec(dataset={"crop_size": 32}))
    with pytest.raises(UserError, match="only for networks with the decoder fpn"):
        export_onnx._quantized(tmp_path / "o.onnx", (sample.instances_val, sample.val_images), labeler)


def test_a_file_without_boxes_is_refused(tmp_path):
    path = tmp_path / "none.json"
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    with pytest.raises(UserError, match="no box has a crop"):
        calibration_crops(path, tmp_path, MaskAutoLabeler.from_checkpoint().crop)


def test_boxes_and_images_go_together(checkpoint, tmp_path, capsys):
    words = ["export", "onnx", "--checkpoint", str(checkpoint), "--out", str(tmp_path / "o.onnx"), "--int8", "a.json"]
    assert main(words) != 0
    assert "--int8 and --images go together" in capsys.readouterr().err.replace("\n", " ")
