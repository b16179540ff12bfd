"""What only a machine with CUDA can show; `make gpu-check` runs these."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from mal.cli import main
from mal.labeler import MaskAutoLabeler
from mal.metrics.iou import mask_iou
from mal.ops.mean_field import mean_field
from mal.sample.generate import make_sample

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_mean_field_gives_the_same_on_the_gpu(kernel_size):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 64, 48, generator=generator)
    prob = torch.rand(2, 64, 48, generator=generator)
    box_mask = torch.zeros(2, 64, 48)
    box_mask[:, 8:56, 6:40] = 1
    on_cpu = mean_field(image, prob, box_mask, kernel_size=kernel_size, num_iter=10)
    on_gpu = mean_field(image.cuda(), prob.cuda(), box_mask.cuda(), kernel_size=kernel_size, num_iter=10).cpu()
    # A pixel on a knife's edge may fall to the other side; all others agree.
    assert ((on_cpu - on_gpu).abs() < 1e-3).float().mean() > 0.999


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a sample and what training on it with the page's defaults, small, has left."""
    folder = tmp_path_factory.mktemp("gpu")
    sample = make_sample(folder / "sample", num_train_images=8, num_val_images=4)
    overrides = {
        "results_dir": folder,
        "dataset.train_ann_path": sample.boxes_train,
        "dataset.train_img_dir": sample.train_images,
        "dataset.val_ann_path": sample.instances_val,
        "dataset.val_img_dir": sample.val_images,
        "dataset.crop_size": 128,
        "dataset.min_obj_size": 64,
        "model.arch": "vit-deit-tiny/16",
        "model.num_blocks": 2,
        "train.num_epochs": 2,
        "train.mask_thres": "[0.5]",
        "evaluate.checkpoint": folder / "train" / "mal_model_latest.pth",
        "inference.checkpoint": folder / "train" / "mal_model_latest.pth",
        "inference.ann_path": sample.boxes_val,
        "inference.img_dir": sample.val_images,
        "inference.label_dump_path": "masks.json",
    }
    spec = folder / "spec.yaml"
    spec.write_text("model: {}\n", encoding="utf-8")
    arguments = ["-e", str(spec), *(f"{key}={value}" for key, value in overrides.items())]
    assert main(["train", *arguments]) == 0
    return folder, arguments, sample


def test_training_in_half_precision_on_the_gpu_leaves_finite_weights(trained):
    folder, _, _ = trained
    checkpoint = torch.load(folder / "train" / "mal_model_latest.pth", weights_only=True)
    floats = [value for value in checkpoint["state_dict"].values() if value.is_floating_point()]
    assert all(torch.isfinite(value).all() for value in floats)
    assert all(value.dtype == torch.float32 for value in floats)


def test_targets_by_graph_cut_are_learned_from_on_the_gpu(trained, tmp_path):
    _, arguments, _ = trained
    changes = ["train.target=graph_cut", "train.ellipse_epochs=1.5", f"train.results_dir={tmp_path}"]
    assert main(["train", *arguments, *changes]) == 0
    checkpoint = torch.load(tmp_path / "mal_model_latest.pth", weights_only=True)
    assert all(torch.isfinite(value).all() for value in checkpoint["state_dict"].values())


def test_training_resumes_on_the_gpu(trained, capsys):
    _, arguments, _ = trained
    assert main(["train", *arguments, "train.num_epochs=3"]) == 0
    assert "resuming from" in capsys.readouterr().out


def test_evaluation_and_labelling_run_on_the_gpu(trained):
    folder, arguments, _ = trained
    assert main(["evaluate", *arguments]) == 0
    assert main(["inference", *arguments]) == 0
    assert json.loads((folder / "evaluate" / "metrics.json").read_text())["model"]["n"] > 0
    assert json.loads((folder / "inference" / "masks.json").read_text())["annotations"]


def test_masks_from_the_gpu_are_those_from_the_cpu(trained):
    folder, _, sample = trained
    checkpoint = folder / "train" / "mal_model_latest.pth"
    picture = next(sample.val_images.iterdir())
    boxes = [[20, 20, 120, 100], [60, 40, 200, 160]]
    found = {
        device: MaskAutoLabeler.from_checkpoint(checkpoint, device=device).label_instances(picture, boxes)
        for device in ("cpu", "cuda")
    }
    for on_cpu, on_gpu in zip(found["cpu"], found["cuda"], strict=True):
        assert on_cpu is not None
        assert on_gpu is not None
        if on_cpu.window.any():
            assert mask_iou(on_cpu.rle(), on_gpu.rle()) > 0.98


def test_the_scale_of_float16_losses_goes_on_where_a_run_resumes(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    _, arguments, _ = trained
    arguments = [*arguments, "train.num_epochs=2"]
    assert main(["train", *arguments, f"train.results_dir={tmp_path / 'whole'}"]) == 0
    first = tmp_path / "whole" / "model_epoch_000.pth"
    resumed = [f"train.results_dir={tmp_path / 'resumed'}", f"train.resume_training_checkpoint_path={first}"]
    assert main(["train", *arguments, *resumed]) == 0
    scales = [
        torch.load(tmp_path / run / "mal_model_latest.pth", weights_only=True)["MixedPrecision"]
        for run in ("whole", "resumed")
    ]
    assert scales[0] == scales[1]
    assert scales[0]["_growth_tracker"] > 0


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_gpus_share_the_work_and_leave_a_checkpoint_that_one_goes_on_from(trained, tmp_path, strategy):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    _, arguments, _ = trained
    arguments = [*arguments, f"train.results_dir={tmp_path}"]
    command = [sys.executable, "-m", "mal", "train", *arguments, f"strategy={strategy}", "train.num_gpus=2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert f"{strategy} over 2 processes" in done.stdout
    checkpoint = torch.load(tmp_path / "mal_model_latest.pth", weights_only=True)
    assert all(torch.isfinite(value).all() for value in checkpoint["state_dict"].values() if value.is_floating_point())
    assert main(["train", *arguments, "train.num_epochs=3"]) == 0
