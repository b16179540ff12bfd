"""The decoder fpn as an ONNX graph, which takes the box in place of its area."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mal.data.box_input import INSIDE, OUTSIDE, UNKNOWN
from mal.labeler import MaskAutoLabeler
from mal.sample.scene import scene
from tests.export.exported import CROP_SIZE, small_fpn_checkpoint

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


MAKE_CHECKPOINT = small_fpn_checkpoint


def test_the_graph_takes_crops_and_boxes(exported):
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    shapes = {each.name: each.shape[1:] for each in session.get_inputs()}
    assert shapes == {"images": [3, CROP_SIZE, CROP_SIZE], "box": [1, CROP_SIZE, CROP_SIZE]}


@pytest.mark.parametrize("value", [OUTSIDE, INSIDE, UNKNOWN])
def test_it_computes_the_network_s_logits_for_any_box(checkpoint, exported, value):
    images, areas = torch.rand(2, 3, CROP_SIZE, CROP_SIZE), torch.ones(2)
    box = torch.zeros(2, 1, CROP_SIZE, CROP_SIZE)
    box[:, :, 10:40, 20:50] = value
    with torch.no_grad():
        wanted = MaskAutoLabeler.from_checkpoint(checkpoint, device="cpu").student(images, areas, box)
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images.numpy(), "box": box.numpy()})
    assert wanted.abs().max() > 0.1
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)


def test_labeling_with_the_file_gives_the_masks_of_the_checkpoint(checkpoint, exported):
    drawn = scene(np.random.default_rng(5), 320, 240)
    ours, theirs = (
        MaskAutoLabeler.from_checkpoint(path, device="cpu").label(drawn.image, drawn.boxes_xyxy)
        for path in (checkpoint, exported)
    )
    assert ours.any()
    assert (ours != theirs).mean() < 1e-4
