"""FAN backbones through the tool: batch norm, a stem without a choice, and checkpoints that say so."""

from __future__ import annotations

import json

import pytest
import torch

from tests.cli.small_runs import MODEL, run_mal, small_data, write_spec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(scenes, tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("coco"), scenes, num_train=1, num_val=1)


@pytest.mark.parametrize("arch", ["fan_tiny_12_p16_224", "fan_tiny_8_p4_hybrid"])
def test_a_fan_trains_resumes_and_labels(data, tmp_path, capfd, arch):
    spec = write_spec(data, tmp_path, model=MODEL | {"arch": arch}, train__num_epochs=1)
    assert run_mal(capfd, "train", "-e", spec).exit_code == 0
    assert run_mal(capfd, "train", "-e", spec, "train.num_epochs=2").exit_code == 0
    assert run_mal(capfd, "inference", "-e", spec).exit_code == 0

    checkpoint = torch.load(tmp_path / "train/mal_model_latest.pth", weights_only=True)
    assert checkpoint["hyper_parameters"]["model"]["stem"] == "auto"
    counted = {int(value) for name, value in checkpoint["state_dict"].items() if name.endswith("num_batches_tracked")}
    assert counted == {2}  # student and teacher: one batch an epoch
    labels = json.loads((tmp_path / "inference/masks.json").read_text())
    assert len(labels["annotations"]) == 3
    assert all("segmentation" in annotation for annotation in labels["annotations"])
