"""The tool from training to masks, as a person uses it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pycocotools.coco import COCO

from mal.masks.rle import rle_area, rle_from_segmentation
from mal.metrics.box_noise import LEVELS, BoxNoise
from mal.metrics.instance_file import read_instances
from mal.metrics.iou import mask_iou
from mal.metrics.predictions import read_predictions
from tests.cli.small_runs import MODEL, run_mal, run_mal_in_a_process, small_data, status_lines, write_spec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(scenes, tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("coco"), scenes)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Two epochs in a process of its own, with a loader worker; box-only training, masks to validate on."""
    results = tmp_path_factory.mktemp("results")
    spec = write_spec(data, results, dataset__num_workers_per_gpu=1)
    outcome = run_mal_in_a_process("train", "-e", spec)
    assert outcome.exit_code == 0, outcome.err
    return SimpleNamespace(spec=spec, results=results, folder=results / "train", outcome=outcome)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def same_weights(first: Path, second: Path, network: str = "") -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a if name.startswith(network))


def test_training_writes_a_checkpoint_for_each_epoch_the_best_and_the_latest(trained):
    names = sorted(path.name for path in trained.folder.glob("*.pth"))
    assert names == ["mal_model_latest.pth", "model_best.pth", "model_epoch_000.pth", "model_epoch_001.pth"]
    assert same_weights(trained.folder / "mal_model_latest.pth", trained.folder / "model_epoch_001.pth")
    assert not same_weights(trained.folder / "model_epoch_000.pth", trained.folder / "model_epoch_001.pth")


def test_checkpoints_have_the_public_key_names(trained):
    names = {name.partition(".")[0] for name in weights(trained.folder / "mal_model_latest.pth")}
    assert names == {"student", "teacher"}


def test_training_tells_its_story_in_status_json(trained):
    entries = status_lines(trained.folder / "status.json")
    assert entries[0]["message"] == "train started"
    assert entries[-1]["message"] == "train finished"
    epochs = [entry["metrics"] for entry in entries if entry["message"].startswith("epoch ")]
    assert len(epochs) == 2
    assert {"train/loss", "train/mil", "train/crf", "train/lr", "val/mIoU"} <= epochs[0].keys()
    assert all({"time", "level", "message"} <= entry.keys() for entry in entries)


def test_training_leaves_tensorboard_files_and_the_whole_spec(trained):
    assert list((trained.folder / "tensorboard").glob("events.out.tfevents.*"))
    saved = yaml.safe_load((trained.folder / "spec.yaml").read_text())
    assert saved["model"]["arch"] == MODEL["arch"]
    assert saved["train"]["wd"] == 0.0005


def test_training_says_where_it_runs_and_how_each_epoch_ended(trained):
    assert "9 of 9 boxes in 3 images to train on" in trained.outcome.out
    assert "epoch 2/2: " in trained.outcome.out


def test_a_run_resumes_by_itself_and_goes_on_to_more_epochs(trained, tmp_path, capfd):
    shutil.copytree(trained.results, tmp_path / "again")
    outcome = run_mal(capfd, "train", "-e", trained.spec, f"results_dir={tmp_path}/again", "train.num_epochs=3")
    assert outcome.exit_code == 0, outcome.err
    assert f"resuming from {tmp_path}/again/train/mal_model_latest.pth" in outcome.out
    folder = tmp_path / "again/train"
    assert same_weights(folder / "model_epoch_002.pth", folder / "mal_model_latest.pth")
    assert same_weights(folder / "model_epoch_001.pth", trained.folder / "model_epoch_001.pth")


def test_a_finished_run_started_again_stays_as_it_is(trained, tmp_path, capfd):
    shutil.copytree(trained.results, tmp_path / "again")
    outcome = run_mal(capfd, "train", "-e", trained.spec, f"results_dir={tmp_path}/again")
    assert outcome.exit_code == 0, outcome.err
    assert same_weights(tmp_path / "again/train/mal_model_latest.pth", trained.folder / "mal_model_latest.pth")


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(trained, tmp_path, capfd):
    outcome = run_mal(
        capfd,
        *("train", "-e", trained.spec, f"results_dir={tmp_path}"),
        f"train.resume_training_checkpoint_path={trained.folder}/model_epoch_000.pth",
    )
    assert outcome.exit_code == 0, outcome.err
    assert same_weights(tmp_path / "train/model_epoch_001.pth", trained.folder / "model_epoch_001.pth")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_run_that_stopped_within_an_epoch_goes_on_with_the_boxes_that_are_left(data, tmp_path, capfd, num_workers):
    changes = {"train__checkpoint_interval_unit": "step", "train__checkpoint_interval": 1}
    changes |= {"train__accum_grad_batches": 2, "train__batch_size": 2, "dataset__num_workers_per_gpu": num_workers}
    spec = write_spec(data, tmp_path, **changes)
    assert run_mal(capfd, "train", "-e", spec).exit_code == 0
    whole = tmp_path / "train"
    # 9 boxes in batches of 2 are 5 batches, so 3 steps an epoch: the fourth is the first of the second epoch.
    stopped = f"train.resume_training_checkpoint_path={whole}/model_step_000004.pth"
    outcome = run_mal(capfd, "train", "-e", spec, f"results_dir={tmp_path}/resumed", stopped)
    assert outcome.exit_code == 0, outcome.err
    resumed = tmp_path / "resumed/train"
    assert not (resumed / "model_step_000004.pth").exists()
    for name in ("model_step_000005.pth", "model_epoch_001.pth"):
        assert same_weights(resumed / name, whole / name)


def test_the_optimiser_and_its_rate_resume_too(trained, tmp_path, capfd):
    def optimizer(path):
        return torch.load(path, weights_only=True)["optimizer_states"][0]

    run_mal(
        capfd,
        *("train", "-e", trained.spec, f"results_dir={tmp_path}"),
        f"train.resume_training_checkpoint_path={trained.folder}/model_epoch_000.pth",
    )
    resumed = optimizer(tmp_path / "train/model_epoch_001.pth")
    whole = optimizer(trained.folder / "model_epoch_001.pth")
    assert resumed["param_groups"] == whole["param_groups"]
    assert all(
        torch.equal(resumed["state"][index]["exp_avg"], state["exp_avg"]) for index, state in whole["state"].items()
    )


MODES = {
    "student": [],
    "teacher": ["evaluate.use_teacher_test=true"],
    "mixed": ["evaluate.use_mixed_model_test=true"],
    "flip": ["evaluate.use_flip_test=true"],
    "crf": ["evaluate.use_crf_test=true"],
    "clustering": ["evaluate.comp_clustering=true"],
}


@pytest.mark.parametrize("mode", MODES)
def test_evaluation_writes_its_metrics(trained, tmp_path, capfd, mode):
    outcome = run_mal(capfd, "evaluate", "-e", trained.spec, f"evaluate.results_dir={tmp_path}", *MODES[mode])
    assert outcome.exit_code == 0, outcome.err
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["model"]["n"] == 6
    assert 0 <= metrics["model"]["miou_instances"] <= 1
    assert 0.4 < metrics["box"]["miou_instances"] < 1
    assert metrics["failed"] == 0
    assert "mean IoU" in outcome.out
    assert ("clustering" in metrics) == (mode == "clustering")
    assert status_lines(tmp_path / "status.json")[-1]["message"] == "evaluate finished"


@pytest.fixture(scope="module")
def evaluated(trained):
    flags = ("--agreement", "--box-noise", "--box-noise-boxes", "3", "--thresholds")
    outcome = run_mal_in_a_process("evaluate", *flags, "-e", trained.spec)
    assert outcome.exit_code == 0, outcome.err
    return SimpleNamespace(folder=trained.results / "evaluate", outcome=outcome)


def test_evaluation_leaves_a_row_and_a_mask_for_every_box(evaluated, data):
    rows = read_instances(evaluated.folder / "instances.csv")
    masks = {each.annotation_index: each.rle for each in read_predictions(evaluated.folder / "predictions.json")}
    annotations = json.loads(data.truth.read_text())["annotations"]
    assert [row.annotation_index for row in rows] == sorted(masks) == list(range(len(annotations)))
    for row in rows:
        mask = masks[row.annotation_index]
        truth = rle_from_segmentation(annotations[row.annotation_index]["segmentation"], *mask["size"])
        assert row.iou == pytest.approx(mask_iou(mask, truth), abs=1e-5)
        assert row.mask_area == rle_area(mask)
        assert 0 <= row.agreement <= 1


def test_the_curves_of_noise_are_drawn(evaluated):
    with Image.open(evaluated.folder / "box_noise.png") as picture:
        assert len(picture.convert("RGB").getcolors(maxcolors=2**20)) > 3


def test_evaluation_without_noise_is_where_the_curves_of_noise_begin(evaluated):
    noise = BoxNoise.model_validate_json((evaluated.folder / "box_noise.json").read_bytes())
    iou = {row.annotation_index: row.iou for row in read_instances(evaluated.folder / "instances.csv")}
    assert (noise.boxes, noise.boxes_evaluated) == (3, 6)
    for curve in (noise.shift, noise.scale, noise.both):
        assert [point.level for point in curve] == [0, *LEVELS]
        assert curve[0].model == pytest.approx(np.mean([iou[position] for position in (0, 2, 5)]), abs=1e-5)
        assert curve[-1].box != curve[0].box


def test_the_comparison_of_thresholds_begins_with_what_was_evaluated(evaluated):
    found = json.loads((evaluated.folder / "thresholds.json").read_text())
    rows = read_instances(evaluated.folder / "instances.csv")
    assert found["own"]["miou"] == pytest.approx(np.mean([row.iou for row in rows]), abs=1e-5)
    assert (found["boxes"], found["best"]) == (len(rows), None)
    assert "too few to choose a threshold by" in evaluated.outcome.out


def test_what_evaluation_prints_is_plain_and_fits_into_80_columns(evaluated):
    tables = evaluated.outcome.out.split("mean IoU", 1)[1].split("metrics:")[0]
    assert max(map(len, tables.splitlines())) <= 80
    assert "\x1b" not in evaluated.outcome.out
    assert "ms a box" in evaluated.outcome.out


@pytest.fixture(scope="module")
def labelled(trained):
    outcome = run_mal_in_a_process("inference", "-e", trained.spec, "inference.load_mask=true")
    assert outcome.exit_code == 0, outcome.err
    return SimpleNamespace(file=trained.results / "inference/masks.json", outcome=outcome)


def test_inference_writes_a_coco_file_with_every_annotation_and_extra_keys(labelled, data):
    before, after = json.loads(data.truth.read_text()), json.loads(labelled.file.read_text())
    assert [record["id"] for record in after["annotations"]] == [record["id"] for record in before["annotations"]]
    assert all(record["note"] == "kept" and record["iscrowd"] == 0 for record in after["annotations"])
    assert all(0 <= record["iou"] <= 1 for record in after["annotations"])
    assert {key: after[key] for key in ("info", "images", "categories")} == {
        key: before[key] for key in ("info", "images", "categories")
    }


def test_masks_of_inference_load_in_pycocotools_and_stay_in_their_boxes(labelled):
    coco = COCO(labelled.file)
    for record in coco.anns.values():
        mask = coco.annToMask(record)
        x, y, width, height = record["bbox"]
        rows, columns = np.nonzero(mask)
        assert record["area"] == mask.sum() > 0
        # The box mask is resized to the crop of 64 pixels and back, so its edge is a crop's pixel wide.
        x_edge, y_edge = 2 + 2 * width / 64, 2 + 2 * height / 64
        assert columns.min() >= x - x_edge
        assert columns.max() <= x + width + x_edge
        assert rows.min() >= y - y_edge
        assert rows.max() <= y + height + y_edge


def test_inference_accounts_for_every_annotation_in_its_report(labelled):
    report = json.loads((labelled.file.parent / "inference_report.json").read_text())
    assert report["counts"]["annotations"] == report["counts"]["labelled"] == 6
    assert "6 annotations: 6 labelled" in labelled.outcome.out


def test_label_without_a_spec_gives_the_masks_of_inference(trained, labelled, data, tmp_path, capfd):
    out = tmp_path / "masks.json"
    outcome = run_mal(
        capfd,
        *("label", "--ann", data.boxes.with_name("instances_val.json"), "--images", data.images, "--out", out),
        *("--checkpoint", trained.folder / "mal_model_latest.pth", "--workers", "1", "--device", "cpu"),
    )
    assert outcome.exit_code == 0, outcome.err
    ours, theirs = json.loads(out.read_text())["annotations"], json.loads(labelled.file.read_text())["annotations"]
    assert [record["segmentation"] for record in ours] == [record["segmentation"] for record in theirs]
    assert json.loads((tmp_path / "masks_report.json").read_text())["counts"]["labelled"] == 6


def test_label_with_the_fast_profile_leaves_no_annotation_out(trained, data, tmp_path, capfd):
    outcome = run_mal(
        capfd,
        *("label", "--ann", data.boxes.with_name("instances_val.json"), "--images", data.images, "--profile", "fast"),
        *("--checkpoint", trained.folder / "mal_model_latest.pth", "--workers", "0", "--out", tmp_path / "masks.json"),
    )
    assert outcome.exit_code == 0, outcome.err
    assert json.loads((tmp_path / "masks_report.json").read_text())["counts"]["labelled"] == 6


def test_label_of_one_photo_draws_an_overlay_and_writes_masks(trained, data, tmp_path, capfd):
    photo = sorted(data.images.iterdir())[0]
    overlay, out = tmp_path / "overlay.png", tmp_path / "masks.json"
    outcome = run_mal(
        capfd,
        *("label", "--image", photo, "--box", "10,20,200,150", "--box", "100,100,90,90"),
        *("--checkpoint", trained.folder / "mal_model_latest.pth", "--overlay", overlay, "--out", out),
        *("--network", "mixed", "--flip", "--threshold", "0.3"),
    )
    assert outcome.exit_code == 0, outcome.err
    assert overlay.stat().st_size > 1000
    assert len(COCO(out).anns) == 2


def test_a_box_beside_the_photo_has_no_mask_and_the_exit_code_says_so(trained, data, tmp_path, capfd):
    photo = sorted(data.images.iterdir())[0]
    outcome = run_mal(
        capfd,
        *("label", "--image", photo, "--box", "10,20,50,50", "--box", "9000,9000,9,9"),
        *("--checkpoint", trained.folder / "mal_model_latest.pth", "--overlay", tmp_path / "o.png"),
    )
    assert outcome.exit_code == 1
    assert "box 2: lies outside the photo, no mask" in outcome.out


def test_training_on_boxes_alone_needs_no_validation(data, tmp_path, capfd):
    spec = write_spec(data, tmp_path, dataset__val_ann_path=None, dataset__val_img_dir=None, train__num_epochs=1)
    outcome = run_mal(capfd, "train", "-e", spec)
    assert outcome.exit_code == 0, outcome.err
    assert "no validation" in outcome.out
    assert (tmp_path / "train/model_epoch_000.pth").is_file()


def test_a_validation_file_of_boxes_alone_is_not_validated_on(data, tmp_path, capfd):
    spec = write_spec(data, tmp_path, dataset__val_ann_path=str(data.boxes), train__num_epochs=1)
    outcome = run_mal(capfd, "train", "-e", spec)
    assert outcome.exit_code == 0, outcome.err
    assert "holds no masks to compare with" in outcome.out


def test_gradients_are_summed_over_batches(data, tmp_path, capfd):
    spec = write_spec(data, tmp_path, train__accum_grad_batches=2, train__num_epochs=2)
    assert run_mal(capfd, "train", "-e", spec).exit_code == 0
    # 9 boxes in batches of 4 are 3 batches, so 2 steps an epoch.
    assert torch.load(tmp_path / "train/mal_model_latest.pth", weights_only=True)["global_step"] == 4


def test_checkpoints_can_be_counted_in_steps(data, tmp_path, capfd):
    changes = {"train__checkpoint_interval_unit": "step", "train__checkpoint_interval": 2}
    spec = write_spec(data, tmp_path, dataset__load_mask=False, **changes)  # a validation would add its best file
    assert run_mal(capfd, "train", "-e", spec).exit_code == 0
    names = sorted(path.name for path in (tmp_path / "train").glob("*.pth"))
    assert names == ["mal_model_latest.pth", "model_epoch_001.pth", "model_step_000002.pth", "model_step_000004.pth"]


def test_a_checkpoint_in_steps_is_written_once_when_gradients_are_summed(data, tmp_path, capfd):
    changes = {"train__checkpoint_interval_unit": "step", "train__checkpoint_interval": 1}
    spec = write_spec(data, tmp_path, train__accum_grad_batches=2, train__batch_size=2, train__num_epochs=1, **changes)
    assert run_mal(capfd, "train", "-e", spec).exit_code == 0
    messages = [entry["message"] for entry in status_lines(tmp_path / "train/status.json")]
    assert [message for message in messages if message.startswith("wrote")] == [
        "wrote model_step_000001.pth",
        "wrote model_step_000002.pth",
        "wrote model_epoch_000.pth",
    ]


def test_validation_runs_at_its_interval_and_after_the_last_epoch(data, tmp_path, capfd):
    spec = write_spec(data, tmp_path, train__num_epochs=3, train__validation_interval=2)
    assert run_mal(capfd, "train", "-e", spec).exit_code == 0
    events = [entry for entry in status_lines(tmp_path / "train/status.json") if entry["message"].startswith("epoch")]
    assert ["val/mIoU" in entry["metrics"] for entry in events] == [False, True, True]


def test_training_starts_from_the_weights_of_another_checkpoint(trained, data, tmp_path, capfd):
    latest = trained.folder / "mal_model_latest.pth"
    spec = write_spec(data, tmp_path, train__pretrained_model_path=str(latest), train__num_epochs=1, train__lr=0.0)
    outcome = run_mal(capfd, "train", "-e", spec)
    assert outcome.exit_code == 0, outcome.err
    assert f"starting from {latest}" in outcome.out
    assert same_weights(tmp_path / "train/mal_model_latest.pth", latest, "student.")  # the rate is 0


def test_the_sample_spec_of_the_page_trains_and_evaluates_with_its_paths_replaced(scenes, repository, tmp_path, capfd):
    coco = small_data(tmp_path / "coco", scenes, num_train=1, num_val=1, boxes_each=2)
    paths = [
        f"results_dir={tmp_path}/results",
        f"dataset.train_ann_path={coco.boxes}",
        f"dataset.train_img_dir={coco.images}",
        f"dataset.val_ann_path={coco.truth}",
        f"dataset.val_img_dir={coco.images}",
    ]
    small = ["model.arch=vit-deit-tiny/16", "model.num_blocks=1", "wandb.enable=false"]
    quick = ["dataset.crop_size=128", "train.checkpoint_interval=5", "train.crf_num_iter=3"]
    page = repository / "tests/config/tao_page_spec.yaml"
    outcome = run_mal(capfd, "train", "-e", page, *paths, *small, *quick)
    assert outcome.exit_code == 0, outcome.err
    folder = tmp_path / "results/train"
    names = sorted(path.name for path in folder.glob("*.pth"))
    assert names == ["mal_model_latest.pth", "model_best.pth", "model_epoch_004.pth", "model_epoch_009.pth"]
    checkpoint = f"evaluate.checkpoint={folder}/model_epoch_009.pth"
    assert run_mal(capfd, "evaluate", "-e", page, *paths, *small, *quick, checkpoint).exit_code == 0
