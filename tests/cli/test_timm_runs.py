"""A timm model as the backbone through the tool: from training to labels."""

from __future__ import annotations

import json

import pytest
import torch
import yaml

from mal.sample.generate import make_sample
from tests.cli.small_runs import MODEL, run_mal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("sample"), num_train_images=2, num_val_images=1)


@pytest.mark.parametrize(("arch", "num_blocks"), [("timm/test_vit", 2), ("timm/test_convnext", None)])
def test_a_timm_backbone_trains_resumes_and_labels(sample, tmp_path, capfd, arch, num_blocks):
    spec = {
        "results_dir": str(tmp_path),
        "model": MODEL | {"arch": arch, "num_blocks": num_blocks, "frozen_stages": [0, 1]},
        "dataset": {
            "train_ann_path": str(sample.boxes_train),
            "train_img_dir": str(sample.train_images),
            "crop_size": 64,
            "min_obj_size": 64,
            "num_workers_per_gpu": 0,
        },
        "train": {"num_epochs": 1, "batch_size": 4, "lr": 1e-4, "crf_num_iter": 5, "use_amp": False},
        "inference": {"ann_path": str(sample.boxes_val), "img_dir": str(sample.val_images)},
    }
    path = tmp_path / "in.yaml"
    path.write_text(yaml.safe_dump(spec))
    checkpoint = tmp_path / "train/mal_model_latest.pth"
    trained = run_mal(capfd, "train", "-e", path)
    assert trained.exit_code == 0, trained.err
    assert run_mal(capfd, "train", "-e", path, "train.num_epochs=2").exit_code == 0
    assert torch.load(checkpoint, weights_only=True)["hyper_parameters"]["model"]["arch"] == arch

    # The arch is left to the checkpoint.
    labels = tmp_path / "masks.json"
    inputs = ("--ann", sample.boxes_val, "--images", sample.val_images, "--workers", "0")
    assert run_mal(capfd, "label", *inputs, "--checkpoint", checkpoint, "--out", labels).exit_code == 0
    assert all("segmentation" in annotation for annotation in json.loads(labels.read_text())["annotations"])


def test_a_misspelt_timm_name_is_one_line(sample, tmp_path, capfd):
    overrides = [f"dataset.train_ann_path={sample.boxes_train}", f"dataset.train_img_dir={sample.train_images}"]
    path = tmp_path / "in.yaml"
    path.write_text(yaml.safe_dump({"results_dir": str(tmp_path), "model": {"arch": "timm/vit_tiny_patch61_224"}}))
    outcome = run_mal(capfd, "train", "-e", path, *overrides)
    assert outcome.exit_code == 1
    assert outcome.error_lines[-1].startswith("mal: error: model.arch: timm has no model vit_tiny_patch61_224; did you")
