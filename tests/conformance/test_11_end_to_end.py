"""The whole way: a checkpoint file and a COCO file in, the label file out, through the command line."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mal.cli import main
from mal.config.schema import ExperimentSpec
from mal.data.images import read_image
from mal.masks.rle import mask_from_rle, rle_area
from mal.metrics.iou import mask_iou
from mal.models.backbones.vit import Stem
from mal.training.saved_spec import saved_spec
from tests.conformance.pack import STEMS, TINY, Recipe, assert_within, read_json

SECTION = "end to end"
PATCH, CONV = "vit-deit-tiny-16", "convstem_vit-deit-tiny-16"
EXPECTED = [
    f"{PATCH}_256",
    f"{PATCH}_256_teacher",
    f"{PATCH}_256_thr369",
    pytest.param(f"{PATCH}_512", marks=pytest.mark.slow),
    f"{CONV}_256",
    f"{CONV}_256_thr999",
    f"{CONV}_256_thr9999",
]
MIN_PIXELS, MIN_IOU = 100, 0.995


@dataclass(frozen=True)
class Workplace:
    """Input folder, checkpoints by stem, and a place for results."""

    data: Path
    checkpoints: dict[Stem, Path]
    scratch: Path

    def run(self, task: str, expected: str, spec: dict[str, Any]) -> Path:
        """Run a task on the command line; returns its results folder."""
        folder = self.scratch / f"{task}_{expected}"
        folder.mkdir(exist_ok=True)
        spec_file = folder / "asked.yaml"
        spec_file.write_text(yaml.safe_dump(spec), encoding="utf-8")
        assert main([task, "-e", str(spec_file), f"results_dir={folder}"]) == 0
        return folder / task

    def label(self, expected: str, settings: dict[str, Any], ann_path: Path, *, load_mask: bool) -> Path:
        """Label a file with the settings of a golden case; returns the results folder."""
        inference = {
            "checkpoint": str(self.checkpoints[settings.get("stem", "patch")]),
            "ann_path": str(ann_path),
            "img_dir": str(self.data / "images"),
            "label_dump_path": "labels.json",
            "batch_size": 3,
            "load_mask": load_mask,
            "use_teacher_test": settings.get("net") == "teacher",
        }
        return self.run("inference", expected, {**_common(settings), "inference": inference})


@pytest.fixture(scope="module")
def workplace(public, recipe, tmp_path_factory) -> Workplace:
    scratch = tmp_path_factory.mktemp("end_to_end")
    checkpoints = {stem: _write_checkpoint(recipe, stem, scratch / f"{stem}.pth") for stem in STEMS}
    return Workplace(public / "11_end_to_end", checkpoints, scratch)


@pytest.fixture(scope="module")
def edge(workplace) -> tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]:
    """Our annotations of the edge cases, our report, and the input's annotations."""
    ann_path = workplace.data / "edge_input.json"
    settings = read_json(workplace.data / "edge_expected.json")["settings"]
    folder = workplace.label("edge", settings, ann_path, load_mask=False)
    report = read_json(folder / "inference_report.json")
    return read_json(folder / "labels.json")["annotations"], report, read_json(ann_path)["annotations"]


def test_photos_decode_to_the_pixels_that_the_reference_saw(workplace):
    for name, decoded in read_json(workplace.data / "decoded_images.json").items():
        image = read_image(workplace.data / "images" / name)
        assert list(image.shape) == decoded["shape"]
        assert hashlib.sha256(image.tobytes()).hexdigest() == decoded["decoded_sha256"], "another JPEG decoder"


@pytest.mark.parametrize("expected", EXPECTED)
def test_the_label_file_is_that_of_the_public_code(workplace, expected):
    golden = read_json(workplace.data / f"expected_{expected}.json")
    source = read_json(workplace.data / "input.json")
    folder = workplace.label(expected, golden["settings"], workplace.data / "input.json", load_mask=True)
    labels = read_json(folder / "labels.json")
    assert {key: value for key, value in labels.items() if key != "annotations"} == {
        key: value for key, value in source.items() if key != "annotations"
    }
    given = {record["id"]: record for record in source["annotations"]}
    assert [record["id"] for record in labels["annotations"]] == [record["id"] for record in golden["annotations"]]
    for ours, theirs in zip(labels["annotations"], golden["annotations"], strict=True):
        assert [ours[key] for key in ("image_id", "category_id", "iscrowd")] == [
            theirs[key] for key in ("image_id", "category_id", "iscrowd")
        ]
        assert ours["bbox"] == given[ours["id"]]["bbox"], "exactly as in the input, without float32 noise"
        assert ours["area"] == rle_area(ours["segmentation"]), "the mask's area, not the box's"
        _compare_masks(ours, theirs)
        assert_within(SECTION, "iou of an annotation", ours["iou"] - theirs["iou"], 1e-4)


def test_evaluation_finds_the_mean_iou_of_the_public_code(workplace):
    golden = read_json(workplace.data / f"expected_{PATCH}_256.json")
    spec = _common(golden["settings"])
    spec["dataset"] |= {
        "val_ann_path": str(workplace.data / "input.json"),
        "val_img_dir": str(workplace.data / "images"),
    }
    spec["evaluate"] = {"checkpoint": str(workplace.checkpoints["patch"]), "batch_size": 3}
    metrics = read_json(workplace.run("evaluate", f"{PATCH}_256", spec) / "metrics.json")
    assert_within(SECTION, "mIoU of `mal evaluate`", metrics["model"]["miou_classes"] - golden["mIoU"], 1e-4)


def test_every_annotation_of_the_edge_cases_is_in_the_output_in_its_place(edge):
    labels, report, source = edge
    assert [record["id"] for record in labels] == [record["id"] for record in source]
    assert [record["bbox"] for record in labels] == [record["bbox"] for record in source]
    assert report["counts"]["annotations"] == len(source)


def test_boxes_that_the_public_code_drops_get_a_mask(edge):
    by_name = {record["name"]: record for record in edge[0]}
    for name in ("over_right_by_0.01", "negative_x", "width_2", "duplicate_id_of_plain"):
        assert "mal" not in by_name[name], by_name[name]
        assert by_name[name]["area"] == rle_area(by_name[name]["segmentation"])


def test_a_box_without_extent_is_kept_with_the_reason_why_it_has_no_mask(edge):
    (record,) = (record for record in edge[0] if record["name"] == "zero_area")
    assert record["mal"]["status"] == "skipped"
    assert "no extent" in record["mal"]["reason"]


def test_a_crowd_region_passes_through_unchanged(edge):
    labels, _, source = edge
    assert [record for record in labels if record["iscrowd"]] == [record for record in source if record["iscrowd"]]


def test_extra_fields_of_an_annotation_survive(edge):
    labels, _, source = edge
    assert [(record["name"], record["score"]) for record in labels] == [
        (record["name"], record["score"]) for record in source
    ]


def test_masks_of_the_edge_cases_that_the_public_code_labels_properly_agree(workplace, edge):
    golden = {record["id"]: record for record in read_json(workplace.data / "edge_expected.json")["annotations"]}
    by_name = {record["name"]: record for record in edge[0]}
    for name in ("plain", "width_2.01", "whole_image"):
        _compare_masks(by_name[name], golden[by_name[name]["id"]])


def test_a_box_on_a_bins_border_is_segmented_where_the_public_code_gives_one_half_everywhere(workplace):
    ann_path = workplace.data / "edge_input.json"
    golden = read_json(workplace.data / "edge_expected.json")
    certain = {**golden["settings"], "train.mask_thres": [0.9]}
    labels = read_json(workplace.label("edge_certain", certain, ann_path, load_mask=False) / "labels.json")
    by_name = {record["name"]: record for record in labels["annotations"]}
    public_masks = {record["id"]: record["segmentation"] for record in golden["annotations"]}
    for name, side in (("exact_32x32", 33), ("exact_96x96", 97)):
        filled = mask_from_rle(public_masks[by_name[name]["id"]])
        ours = mask_from_rle(by_name[name]["segmentation"])
        assert filled.sum() == side * side, "the public code fills the box at its threshold of 0.1"
        assert 0 < ours.sum() < filled.sum()
        assert not (ours & ~filled).any()


def _common(settings: dict[str, Any]) -> dict[str, Any]:
    """The sections that labelling and evaluation share."""
    return {
        "model": {"arch": settings["arch"]},
        "dataset": {"crop_size": settings["crop_size"], "num_workers_per_gpu": 0},
        "train": {"use_amp": False, "mask_thres": settings.get("train.mask_thres", [0.1])},
    }


def _compare_masks(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    expected_area = rle_area(theirs["segmentation"])
    if expected_area > MIN_PIXELS:
        iou = mask_iou(ours["segmentation"], theirs["segmentation"])
        assert_within(SECTION, "1 - IoU of a mask with the public one", 1 - iou, 1 - MIN_IOU)
    else:
        assert abs(rle_area(ours["segmentation"]) - expected_area) <= MIN_PIXELS


def _write_checkpoint(recipe: Recipe, stem: Stem, path: Path) -> Path:
    """A checkpoint file of student and teacher, as `mal train` writes it."""
    tensors: dict[str, torch.Tensor] = {}
    for prefix in ("student.", "teacher."):
        network = recipe.network(TINY, stem, prefix)
        tensors |= {prefix + name: value for name, value in network.state_dict().items()}
    spec = saved_spec(ExperimentSpec.model_validate({"model": {"arch": TINY}}), stem)
    torch.save({"state_dict": tensors, "hyper_parameters": spec}, path)
    return path
