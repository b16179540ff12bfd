"""The decoder fpn through the tool: from training to labels, and through every form of its checkpoint."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from mal.sample.generate import make_sample
from tests.cli.small_runs import SmallData, run_mal, small_data, write_spec

pytestmark = pytest.mark.slow

MODEL = {"arch": "timm/test_efficientnet", "decoder": "fpn", "frozen_stages": [0]}
TRAIN = {"num_epochs": 2, "batch_size": 2, "lr": 1e-3, "crf_num_iter": 5, "use_amp": False, "backbone_lr_rate": 0.2}
TRAIN |= {"checkpoint_interval": 1, "checkpoint_interval_unit": "step"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> SmallData:
    folder = tmp_path_factory.mktemp("data")
    make_sample(folder / "sample", num_train_images=3, num_val_images=2)
    return small_data(folder / "small", folder / "sample")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    from mal.cli import main

    results = tmp_path_factory.mktemp("run")
    assert main(["train", "-e", str(write_spec(data, results, model=MODEL, train=TRAIN))]) == 0
    return results / "train/mal_model_latest.pth"


def test_a_run_that_stopped_within_an_epoch_ends_with_the_weights_of_an_uninterrupted_one(
    data, trained, tmp_path, capfd
):
    spec = write_spec(data, tmp_path, model=MODEL, train=TRAIN)
    stopped = f"train.resume_training_checkpoint_path={trained.parent}/model_step_000002.pth"
    outcome = run_mal(capfd, "train", "-e", spec, stopped)
    assert outcome.exit_code == 0, outcome.err
    wanted, found = (
        torch.load(path, weights_only=True)["state_dict"] for path in (trained, tmp_path / "train" / trained.name)
    )
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_a_run_that_takes_the_decoder_from_a_checkpoint_sees_the_boxes_as_one_that_names_it(
    data, trained, tmp_path, capfd
):
    weights = []
    for name, model in (("named", MODEL), ("taken", {"frozen_stages": [0]})):
        train = TRAIN | {"num_epochs": 1, "pretrained_model_path": str(trained)}
        outcome = run_mal(capfd, "train", "-e", write_spec(data, tmp_path / name, model=model, train=train))
        assert outcome.exit_code == 0, outcome.err
        weights.append(torch.load(tmp_path / name / "train" / trained.name, weights_only=True)["state_dict"])
    named, taken = weights
    assert all(torch.equal(named[name], taken[name]) for name in named)


def test_label_and_evaluate_take_the_decoder_from_the_checkpoint(data, trained, tmp_path, capfd):
    out = tmp_path / "masks.json"
    inputs = ("--ann", data.truth, "--images", data.images, "--workers", "0")
    assert run_mal(capfd, "label", *inputs, "--checkpoint", trained, "--out", out).exit_code == 0
    assert all("segmentation" in annotation for annotation in json.loads(out.read_text())["annotations"])
    spec = write_spec(data, tmp_path / "evaluated", model={}, evaluate={"checkpoint": str(trained)})
    assert run_mal(capfd, "evaluate", "-e", spec).exit_code == 0


def test_a_checkpoint_is_told_and_converted(trained, tmp_path, capfd):
    told = dict(line.split(maxsplit=1) for line in run_mal(capfd, "checkpoint", "info", trained).out.splitlines())
    assert (told["arch"], told["decoder"]) == ("timm/test_efficientnet", "fpn")
    converted = run_mal(capfd, "checkpoint", "convert", trained, tmp_path / "model.safetensors")
    assert converted.exit_code == 0, converted.err
    assert "before and after: identical" in converted.out


def test_the_decoder_cannot_change_within_a_run(data, trained, tmp_path, capfd):
    (tmp_path / "train").mkdir()
    shutil.copy(trained, tmp_path / "train/mal_model_latest.pth")
    spec = write_spec(data, tmp_path, model=MODEL | {"decoder": "mal"}, train=TRAIN | {"num_epochs": 3})
    outcome = run_mal(capfd, "train", "-e", spec)
    assert outcome.error_lines[0].startswith("mal: error: model.decoder: mal now, fpn in the checkpoint to resume from")


def test_the_fast_profile_is_refused_with_one_line(data, trained, tmp_path, capfd):
    inputs = ("--ann", data.truth, "--images", data.images, "--workers", "0", "--out", tmp_path / "masks.json")
    outcome = run_mal(capfd, "label", *inputs, "--checkpoint", trained, "--profile", "fast")
    assert outcome.error_lines == [
        "mal: error: profile fast: only for the vit-* architectures; this checkpoint has another, use exact"
    ]
