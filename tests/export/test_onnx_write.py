from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mal.data.crops import IMAGENET_MEAN
from mal.errors import UserError
from mal.export.check import ExportCheck, compare_labelers, scene_crops
from mal.export.onnx_network import read_onnx
from mal.labeler import MaskAutoLabeler
from mal.models.prediction_mode import PredictionMode
from mal.sample.scene import scene
from mal.tasks import export_onnx
from tests.export.exported import CROP_SIZE, small_checkpoint

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

AREAS = [100.0, 1024.0, 1025.0, 9216.0, 9217.0, 90000.0]


@pytest.fixture(scope="module")
def picture():
    return scene(np.random.default_rng(5), 320, 240)


def logits_of(path, images, areas) -> np.ndarray:
    """As a program without mal would get them."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"images": images.numpy(), "box_area": np.float32(areas)})[0]


@pytest.mark.parametrize("areas", [AREAS, AREAS[::-1], AREAS[:1], AREAS[2:4], [50000.0] * 5])
def test_any_batch_of_any_box_sizes_gets_the_networks_logits(checkpoint, exported, areas):
    labeler = MaskAutoLabeler.from_checkpoint(checkpoint, device="cpu")
    images = torch.randn(len(areas), 3, CROP_SIZE, CROP_SIZE)
    with torch.no_grad():
        expected = labeler.student(images, torch.tensor(areas))
    assert expected.abs().max() > 0.1
    np.testing.assert_allclose(logits_of(exported, images, areas), expected.numpy(), atol=1e-4)


def test_the_file_says_what_a_program_without_mal_needs_to_know(exported):
    model = onnx.load(exported)
    facts = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert facts["mal.network"] == "student"
    assert facts["mal.crop_size"] == CROP_SIZE
    assert facts["mal.mask_thres"] == [0.4, 0.5, 0.6]
    assert facts["mal.test_margin_rate"] == [0.6, 0.6]
    assert facts["mal.border"] == "wrap"
    assert tuple(facts["mal.mean"]) == IMAGENET_MEAN
    assert "encryption_key" not in facts["mal.spec"]
    assert [entry.version for entry in model.opset_import if not entry.domain] == [18]


def test_the_file_names_no_folder_of_the_machine_that_wrote_it(exported):
    content = exported.read_bytes()
    assert b"site-packages" not in content
    assert str(Path(__file__).parents[2]).encode() not in content


def test_a_scale_is_computed_only_where_a_box_of_its_size_is_in_the_batch(exported):
    branches = [node for node in onnx.load(exported).graph.node if node.op_type == "If"]
    assert len(branches) == 3
    convolutions = [
        sum(node.op_type == "Conv" for node in attribute.g.node) for one in branches for attribute in one.attribute
    ]
    assert sorted(convolutions) == [0, 0, 0, 4, 4, 4]


def test_the_front_door_takes_the_file_and_finds_the_same_masks(checkpoint, exported, picture):
    theirs = MaskAutoLabeler.from_checkpoint(exported)
    ours = MaskAutoLabeler.from_checkpoint(checkpoint, device="cpu")
    assert theirs.crop == ours.crop
    assert theirs.thresholds == ours.thresholds
    masks = ours.label(picture.image, picture.boxes_xyxy)
    assert masks.any()
    np.testing.assert_array_equal(theirs.label(picture.image, picture.boxes_xyxy), masks)


def test_how_masks_are_refined_goes_with_the_file_unless_public_behavior_is_asked_for(exported, tmp_path):
    model = onnx.load(exported)
    (entry,) = (entry for entry in model.metadata_props if entry.key == "mal.spec")
    spec = json.loads(entry.value)
    spec["inference"] = spec.get("inference", {}) | {"refine": "auto"}
    entry.value = json.dumps(spec)
    onnx.save(model, tmp_path / "refining.onnx")
    ours = MaskAutoLabeler.from_checkpoint(tmp_path / "refining.onnx")
    assert (ours.mode.graph_cut, ours.thresholds) == ("auto", [0.4, 0.5, 0.6])
    public = MaskAutoLabeler.from_checkpoint(tmp_path / "refining.onnx", compat="tao")
    assert (public.mode.graph_cut, public.thresholds, public.crop.crop_size) == (False, [0.1], CROP_SIZE)


@pytest.mark.parametrize(
    "mode", [PredictionMode(flip=True), PredictionMode(graph_cut=True), PredictionMode(graph_cut="auto")]
)
def test_mirrored_crops_and_colors_may_refine_an_exported_networks_masks(checkpoint, exported, picture, mode):
    theirs = MaskAutoLabeler.from_checkpoint(exported, mode=mode)
    ours = MaskAutoLabeler.from_checkpoint(checkpoint, mode=mode, device="cpu")
    np.testing.assert_array_equal(
        theirs.label(picture.image, picture.boxes_xyxy), ours.label(picture.image, picture.boxes_xyxy)
    )


@pytest.mark.no_cover  # following PyTorch's exporter line by line takes minutes
def test_the_mean_of_both_networks_is_exported_as_well(checkpoint, picture, tmp_path, capsys):
    path = tmp_path / "other.onnx"
    export_onnx.run(checkpoint, path, network="mixed")
    said = " ".join(capsys.readouterr().out.split())
    assert "exported the mixed network of vit-deit-tiny/16, crops of 64 x 64, opset 18" in said
    assert "generated boxes: logits differ by" in said
    assert "masks agree with IoU 1.0000 or more" in said
    theirs = MaskAutoLabeler.from_checkpoint(path)
    ours = MaskAutoLabeler.from_checkpoint(checkpoint, mode=PredictionMode(network="mixed"), device="cpu")
    for batch in ours.crops(picture.image, picture.boxes_xyxy):
        np.testing.assert_allclose(theirs.logits(batch), ours.logits(batch), atol=1e-4, rtol=1e-4)


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.parametrize(
    ("stem", "model"),
    [
        ("conv", {}),
        ("patch", {"not_adjust_scale": True}),
        ("patch", {"arch": "fan_tiny_8_p4_hybrid"}),
        ("patch", {"arch": "timm/vit_small_patch14_reg4_dinov2"}),
        ("patch", {"arch": "timm/test_convnext", "num_blocks": None}),
        ("patch", {"arch": "timm/samvit_base_patch16"}),  # attention of another layout
    ],
)
def test_networks_of_other_kinds_are_exported(tmp_path, stem, model):
    path = tmp_path / "model.onnx"
    assert export_onnx.run(small_checkpoint(tmp_path / "model.pth", stem, **model), path) == 0  # it checks itself
    assert path.is_file()


def test_a_file_that_computes_something_else_is_not_written(checkpoint, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(export_onnx, "write_onnx", lambda networks, spec, path, **_: shutil.copy(exported, path))
    monkeypatch.setattr(export_onnx, "compare_labelers", lambda one, other: ExportCheck(0.5, 0.9, 3))
    with pytest.raises(UserError, match=r"computes something else: logits differ by up to 5\.0e-01"):
        export_onnx.run(checkpoint, tmp_path / "out" / "model.onnx")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_network_that_no_graph_can_be_made_of_is_one_line(checkpoint, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no such operator\nand a page of details")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(
        UserError, match=r"vit-deit-tiny/16 cannot be written as ONNX with opset 18 .*no such operator\)$"
    ):
        export_onnx.run(checkpoint, tmp_path / "model.onnx")


def test_the_check_sees_boxes_of_every_size_and_finds_a_difference(checkpoint):
    student = MaskAutoLabeler.from_checkpoint(checkpoint, device="cpu")
    teacher = MaskAutoLabeler.from_checkpoint(checkpoint, mode=PredictionMode(network="teacher"), device="cpu")
    areas = [float(area) for batch in scene_crops(student) for area in batch.box_area]
    assert min(areas) <= 1024
    assert any(1024 < area <= 9216 for area in areas)
    assert max(areas) > 9216
    assert compare_labelers(student, student).is_passed
    assert not compare_labelers(student, teacher).is_passed


def test_another_network_than_the_file_holds_cannot_be_asked_for(exported):
    with pytest.raises(UserError, match=r"holds the student network, but the teacher is asked for"):
        MaskAutoLabeler.from_checkpoint(exported, mode=PredictionMode(network="teacher"))


def test_instance_vectors_of_an_exported_network_are_a_mistake(exported, picture):
    labeler = MaskAutoLabeler.from_checkpoint(exported)
    with pytest.raises(UserError, match="gives masks only; instance vectors need the checkpoint"):
        labeler.instance_vectors(next(labeler.crops(picture.image, picture.boxes_xyxy)))


def test_a_damaged_file_is_one_line(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x09\xff\xfe" * 9)
    with pytest.raises(UserError, match=r"model\.onnx: not an ONNX file, or damaged"):
        read_onnx(path)


def test_an_onnx_file_of_another_program_is_one_line(exported, tmp_path):
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UserError, match="not one that `mal export onnx` wrote"):
        read_onnx(tmp_path / "other.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_without_the_extra_exporting_says_what_to_install(checkpoint, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"ONNX files need {package}: pip install 'mask-auto-labeler\[onnx\]'"):
        export_onnx.run(checkpoint, tmp_path / "model.onnx")


def test_without_the_extra_an_exported_file_says_what_to_install(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install 'mask-auto-labeler\[onnx\]'"):
        MaskAutoLabeler.from_checkpoint(exported)


def test_an_export_whose_weights_are_not_numbers_is_refused_by_name(exported, tmp_path):
    model = onnx.load(exported)
    weight = next(each for each in model.graph.initializer if len(each.dims) == 4)
    weight.CopyFrom(onnx.numpy_helper.from_array(np.full(tuple(weight.dims), np.nan, np.float32), weight.name))
    onnx.save(model, tmp_path / "bad.onnx")
    with pytest.raises(UserError, match=r"bad\.onnx: .* holds values that are not numbers"):
        read_onnx(tmp_path / "bad.onnx")
