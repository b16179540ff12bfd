"""The whole way: a checkpoint file and a COCO file in, the label file out, through the command line."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mal.data.images import read_image
from mal.masks.rle import mask_from_rle, rle_area
from mal.metrics.iou import mask_iou
from mal.models.backbones.vit import Stem
from mal.sample.scene import scene
from tests.conformance.pack import STEMS, assert_within, read_json
from tests.conformance.workplace import Workplace, write_checkpoint
from tests.shared_data import shared_folder

SECTION = "end to end"
PATCH, CONV = "vit-deit-tiny-16", "convstem_vit-deit-tiny-16"
EXPECTED = [
    f"{PATCH}_256",
    f"{PATCH}_256_teacher",
    f"{PATCH}_256_thr369",
    f"{CONV}_256",
    f"{CONV}_256_thr999",
    f"{CONV}_256_thr9999",
]
MIN_PIXELS, MIN_IOU = 100, 0.995


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[Stem, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {stem: write_checkpoint(stem, folder / f"{stem}.pth") for stem in STEMS}


@pytest.fixture(scope="module")
def data(cases) -> Path:
    """A folder of pictures, the COCO file of their boxes, and what is expected of it."""
    return cases.folder / "11_end_to_end"


@pytest.fixture(scope="module")
def workplace(data, checkpoints, tmp_path_factory) -> Workplace:
    return Workplace(data / "images", checkpoints, tmp_path_factory.mktemp("end_to_end"))


@pytest.fixture(scope="module")
def edge_workplace(checkpoints, tmp_path_factory) -> Workplace:
    """Where the edge cases are labelled: on their photo, or where it is absent on a drawing of its size."""
    scratch = tmp_path_factory.mktemp("edge_cases")
    images = shared_folder() / "conformance/public/11_end_to_end/images"
    if not images.is_dir():
        images = scratch / "images"
        images.mkdir()
        drawn = scene(np.random.default_rng(2), 500, 375)
        Image.fromarray(drawn.image).save(images / "000000453302.jpg")
    return Workplace(images, checkpoints, scratch)


@pytest.fixture(scope="module")
def edge(golden, edge_workplace) -> tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]:
    """Our annotations of the edge cases, our report, and the input's annotations."""
    ann_path = golden / "11_end_to_end/edge_input.json"
    settings = read_json(golden / "11_end_to_end/edge_expected.json")["settings"]
    folder = edge_workplace.label("edge", settings, ann_path, load_mask=False)
    report = read_json(folder / "inference_report.json")
    return read_json(folder / "labels.json")["annotations"], report, read_json(ann_path)["annotations"]


def test_photos_decode_to_the_pixels_that_the_reference_saw(pack):
    folder = pack.folder / "11_end_to_end"
    for name, decoded in read_json(folder / "decoded_images.json").items():
        image = read_image(folder / "images" / name)
        assert list(image.shape) == decoded["shape"]
        assert hashlib.sha256(image.tobytes()).hexdigest() == decoded["decoded_sha256"], "another JPEG decoder"


@pytest.mark.parametrize("expected", EXPECTED)
def test_the_label_file_is_that_of_the_public_code(workplace, data, expected):
    _check_labels(workplace, data, expected)


@pytest.mark.slow
def test_the_label_file_of_larger_crops_is_that_of_the_public_code(pack, checkpoints, tmp_path):
    data = pack.folder / "11_end_to_end"
    _check_labels(Workplace(data / "images", checkpoints, tmp_path), data, f"{PATCH}_512")


def test_evaluation_finds_the_mean_iou_of_the_public_code(workplace, data):
    golden = read_json(data / f"expected_{PATCH}_256.json")
    metrics = workplace.evaluate(f"{PATCH}_256", golden["settings"], data / "input.json")
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


def test_masks_of_the_edge_cases_that_the_public_code_labels_properly_agree(pack, edge):
    expected = read_json(pack.folder / "11_end_to_end/edge_expected.json")["annotations"]
    by_id = {record["id"]: record for record in expected}
    by_name = {record["name"]: record for record in edge[0]}
    for name in ("plain", "width_2.01", "whole_image"):
        _compare_masks(by_name[name], by_id[by_name[name]["id"]])


def test_a_box_on_a_bins_border_is_segmented_where_the_public_code_gives_one_half_everywhere(golden, edge_workplace):
    ann_path = golden / "11_end_to_end/edge_input.json"
    expected = read_json(golden / "11_end_to_end/edge_expected.json")
    certain = {**expected["settings"], "train.mask_thres": [0.99]}
    labels = read_json(edge_workplace.label("edge_certain", certain, ann_path, load_mask=False) / "labels.json")
    by_name = {record["name"]: record for record in labels["annotations"]}
    public_masks = {record["id"]: record["segmentation"] for record in expected["annotations"]}
    for name, side in (("exact_32x32", 33), ("exact_96x96", 97)):
        filled = mask_from_rle(public_masks[by_name[name]["id"]])
        ours = mask_from_rle(by_name[name]["segmentation"])
        assert filled.sum() == side * side, "the public code fills the box at its threshold of 0.1"
        assert 0 < ours.sum() < filled.sum()
        assert not (ours & ~filled).any()


def _check_labels(workplace: Workplace, data: Path, expected: str) -> None:
    golden = read_json(data / f"expected_{expected}.json")
    source = read_json(data / "input.json")
    folder = workplace.label(expected, golden["settings"], data / "input.json", load_mask=True)
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


def _compare_masks(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    expected_area = rle_area(theirs["segmentation"])
    if expected_area > MIN_PIXELS:
        iou = mask_iou(ours["segmentation"], theirs["segmentation"])
        assert_within(SECTION, "1 - IoU of a mask with the public one", 1 - iou, 1 - MIN_IOU)
    else:
        assert abs(rle_area(ours["segmentation"]) - expected_area) <= MIN_PIXELS
