"""The options for cleaner masks, from the command line to the label file."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from mal.checkpoint.saved_spec import saved_spec
from mal.masks.rle import mask_from_rle
from mal.metrics.iou import mask_iou
from tests.cli.small_runs import MODEL, run_mal
from tests.data.photos import photos
from tests.small_networks import small_network, small_spec

BOXES_OF_IMAGE = [6, 3]
CLEAN = {"min_part": 0.2, "fill_holes": 0.1, "allow_outside": 0.05, "no_overlap": True}


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> SimpleNamespace:
    """A network of random weights, and pictures with boxes that overlap."""
    folder = tmp_path_factory.mktemp("clean")
    photos(folder, BOXES_OF_IMAGE, [(30.0, 22.0), (50.0, 45.0), (150.0, 110.0)])
    spec = small_spec(dataset={"crop_size": 64}, model=MODEL)
    network = small_network(**MODEL)
    with torch.no_grad():
        network.roi_head.mlp2.bias.normal_(0, 3)  # probabilities on both sides of the threshold
    tensors = {f"{name}.{key}": value for name in ("student", "teacher") for key, value in network.state_dict().items()}
    torch.save({"state_dict": tensors, "hyper_parameters": saved_spec(spec, "patch")}, folder / "model.pth")
    return SimpleNamespace(folder=folder, boxes=folder / "boxes.json", checkpoint=folder / "model.pth")


def annotations(path: Path) -> list[dict]:
    return json.loads(path.read_text())["annotations"]


def masks_of_image(path: Path, image: int) -> np.ndarray:
    found = [mask_from_rle(one["segmentation"]) for one in annotations(path) if one["image_id"] == 100 + image]
    return np.stack(found)


def inference(given, folder: Path, capfd, masks: dict, **changes) -> Path:
    spec = {
        "results_dir": str(folder),
        "model": MODEL,
        "dataset": {"crop_size": 64, "num_workers_per_gpu": 0},
        "inference": {
            "checkpoint": str(given.checkpoint),
            "ann_path": str(given.boxes),
            "img_dir": str(given.folder),
            "label_dump_path": "masks.json",
            **changes,
        },
        "masks": masks,
        "train": {"mask_thres": "box_fit"},
    }
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(spec))
    outcome = run_mal(capfd, "inference", "-e", file)
    assert outcome.exit_code == 0, outcome.err
    return folder / "inference/masks.json"


def test_a_spec_and_the_options_of_mal_label_give_the_same_clean_masks(given, tmp_path, capfd):
    by_spec = inference(given, tmp_path, capfd, CLEAN)
    by_options = tmp_path / "options.json"
    line = "--threshold box_fit --min-part 0.2 --fill-holes 0.1 --allow-outside 0.05 --no-overlap --workers 0"
    files = ["--ann", given.boxes, "--images", given.folder, "--checkpoint", given.checkpoint, "--out", by_options]
    outcome = run_mal(capfd, "label", *files, *line.split(), "--device", "cpu")
    assert outcome.exit_code == 0, outcome.err
    for image in range(len(BOXES_OF_IMAGE)):
        masks = masks_of_image(by_spec, image)
        assert np.array_equal(masks, masks_of_image(by_options, image))
        assert masks.any(axis=(1, 2)).all()
        assert masks.sum(axis=0).max() == 1


def test_without_overlap_the_iou_is_that_of_the_mask_in_the_file(given, tmp_path, capfd):
    plain = inference(given, tmp_path, capfd, {})
    document = json.loads(plain.read_text())
    true = [one["segmentation"] for one in document["annotations"]]  # the plain masks stand in for true ones
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps(document))
    apart = tmp_path / "apart"
    apart.mkdir()
    found = annotations(inference(given, apart, capfd, {"no_overlap": True}, ann_path=str(truth), load_mask=True))
    assert [one["iou"] for one in found] == pytest.approx(
        [mask_iou(one["segmentation"], rle) for one, rle in zip(found, true, strict=True)]
    )
    assert min(one["iou"] for one in found) < 1


def test_a_mask_that_others_cover_wholly_is_named_in_the_report(given, tmp_path, capfd):
    document = json.loads(given.boxes.read_text())
    document["annotations"] = [{**document["annotations"][0], "id": number} for number in (1, 2)]
    twins = tmp_path / "twins.json"
    twins.write_text(json.dumps(document))
    found = annotations(inference(given, tmp_path, capfd, {"no_overlap": True}, ann_path=str(twins)))
    assert [one["area"] > 0 for one in found] == [True, False]
    report = json.loads((tmp_path / "inference/inference_report.json").read_text())
    assert sum("nothing is left of its mask" in record["reason"] for record in report["records"]) == 1
