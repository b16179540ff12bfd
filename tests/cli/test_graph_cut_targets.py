"""Training on targets by graph cut: it learns more than its first targets know, and a stop changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mal.cli import main
from mal.data.cut_grid import CutGrid
from mal.data.targets import FROM_ELLIPSE, cut_target
from mal.masks.rle import rle_from_mask
from mal.training import target_watch
from tests.cli.killable_runs import assert_equal_states, logged_curves, training_state
from tests.cli.small_runs import SmallData, run_mal, run_mal_in_a_process, status_lines, write_spec

SIDE, NUM_PHOTOS = 96, 48


def diamond(index: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int, int, int]]:
    """A photo with a diamond in a color that its noise nearly hides, its true mask, and its box as x, y, w, h."""
    rng = np.random.default_rng(index)
    width, height = rng.integers(44, 60, 2)
    x, y = (int(rng.integers(4, SIDE - side - 4)) for side in (width, height))
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    mask = np.abs(2 * (columns - x) / width - 1) + np.abs(2 * (rows - y) / height - 1) < 1
    difference = rng.normal(size=3)
    difference *= rng.uniform(16, 40) / np.linalg.norm(difference)
    photo = rng.uniform(90, 150, 3) + mask[..., None] * difference + rng.normal(0, 20, (SIDE, SIDE, 3))
    return photo.clip(0, 255).astype(np.uint8), mask, (x, y, int(width), int(height))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> SmallData:
    folder = tmp_path_factory.mktemp("diamonds")
    images = folder / "images"
    images.mkdir()
    document: dict = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "diamond"}]}
    for index in range(NUM_PHOTOS):
        photo, mask, box = diamond(index)
        Image.fromarray(photo).save(images / f"{index}.png")
        document["images"].append({"id": index, "file_name": f"{index}.png", "width": SIDE, "height": SIDE})
        truth = rle_from_mask(mask)
        document["annotations"].append(
            {"id": index, "image_id": index, "category_id": 1, "iscrowd": 0, "bbox": box, "segmentation": truth}
        )
    (folder / "truth.json").write_text(json.dumps(document))
    for annotation in document["annotations"]:
        del annotation["segmentation"]
    (folder / "boxes.json").write_text(json.dumps(document))
    return SmallData(folder, images, folder / "boxes.json", folder / "truth.json")


def graph_cut_spec(data: SmallData, results: Path, **changes) -> Path:
    options = {
        "train__target": "graph_cut",
        "train__batch_size": 16,
        "train__lr": 1e-4,
        "train__min_lr_rate": 0.05,
        "train__margin_rate": [0.0, 0.3],
        "train__test_margin_rate": [0.15, 0.15],
        "train__mask_thres": [0.5],
        "train__loss_mil_step": 0,
        "train__loss_mil_weight": 0.2,
        "dataset__min_obj_size": 100,
        "dataset__border": "reflect",
        "model__teacher_momentum": 0.9,
        "model__teacher_warmup": True,
    }
    return write_spec(data, results, **(options | changes))


def first_targets() -> tuple[float, float]:
    """Mean IoU of ellipses and of cuts from them with the true masks."""
    ious = []
    for index in range(NUM_PHOTOS):
        photo, mask, (x, y, width, height) = diamond(index)
        box = (float(x), float(y), float(x + width), float(y + height))
        grid = CutGrid.around(box, (SIDE, SIDE), (0, 0, SIDE, SIDE))
        cut = cut_target(grid.pixels(photo), grid.ellipse(), grid.inside, FROM_ELLIPSE)
        x0, y0, x1, y1 = grid.extent
        assert grid.size == (x1 - x0, y1 - y0)
        ious.append([iou(each, mask[y0:y1, x0:x1]) for each in (grid.ellipse() > 0.5, cut.mask)])
    ellipse, cuts = np.mean(ious, axis=0)
    return float(ellipse), float(cuts)


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return (mask & truth).sum() / (mask | truth).sum()


def test_a_short_training_finds_better_masks_than_its_first_targets(data, tmp_path, capfd):
    spec = graph_cut_spec(
        data, tmp_path, train__num_epochs=20, train__ellipse_epochs=10.0, train__validation_interval=20
    )
    outcome = run_mal(capfd, "train", "-e", spec)
    assert outcome.exit_code == 0, outcome.err
    ellipse, cuts = first_targets()
    found = [line["metrics"] for line in status_lines(tmp_path / "train/status.json") if "metrics" in line]
    (network,) = [metrics["val/mIoU"] for metrics in found if "val/mIoU" in metrics]
    assert ellipse + 0.05 < cuts < network - 0.02


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """A run of 9 steps, the first 5 of them on the ellipse, with a checkpoint after each."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(["train", "-e", str(short_spec(data, folder))]) == 0
    return folder / "train"


def short_spec(data: SmallData, results: Path, **changes) -> Path:
    options = {
        "train__num_epochs": 3,
        "train__ellipse_epochs": 1.34,
        "train__ellipse_share": 0.25,
        "train__checkpoint_interval": 1,
        "train__checkpoint_interval_unit": "step",
        "dataset__load_mask": False,
    }
    return graph_cut_spec(data, results, **(options | changes))


@pytest.mark.parametrize("steps", [2, 4, 7])
def test_a_run_resumed_before_or_after_the_teacher_takes_over_ends_as_a_whole_one(steps, data, whole, tmp_path):
    start = str(whole / f"model_step_{steps:06d}.pth")
    spec = short_spec(data, tmp_path, train__resume_training_checkpoint_path=start)
    assert main(["train", "-e", str(spec)]) == 0
    ends = [training_state(folder / "mal_model_latest.pth") for folder in (tmp_path / "train", whole)]
    assert_equal_states(*ends)


def test_the_losses_and_figures_of_targets_are_in_status_json_and_in_the_curves(whole):
    names = {f"train/{name}" for name in ("dice", "bce", "mil", "target_fill", "target_fit", "target_confidence")}
    lines = [line for line in status_lines(whole / "status.json") if line["message"].startswith("epoch ")]
    assert len(lines) == 3
    assert all(names <= line["metrics"].keys() for line in lines)
    assert names <= logged_curves(whole / "tensorboard").keys()


def test_loader_processes_change_no_target(data, whole, tmp_path):
    spec = short_spec(data, tmp_path, dataset__num_workers_per_gpu=2)
    assert main(["train", "-e", str(spec)]) == 0
    ends = [training_state(folder / "mal_model_latest.pth") for folder in (tmp_path / "train", whole)]
    assert_equal_states(*ends)


def test_targets_that_run_away_end_the_run_with_one_line_and_leave_its_checkpoints(data, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(target_watch, "FILL_LIMITS", (0.99, 1.0))
    stopped, again = (run_mal(capfd, "train", "-e", short_spec(data, tmp_path)) for _ in range(2))
    assert stopped.exit_code == 1
    (line,) = stopped.error_lines
    assert "the targets of epoch 1 are no masks to learn from" in line
    assert f"the last good checkpoint is {tmp_path}/train/model_step_000002.pth" in line
    assert training_state(tmp_path / "train/mal_model_latest.pth")["/global_step"] == 2
    assert "resuming from" in again.out
    (line_again,) = again.error_lines  # its figures are those of the steps before the checkpoint, too
    assert line_again.partition("; ")[0] == line.partition("; ")[0]


def with_true_masks(data: SmallData, results: Path, **changes) -> Path:
    document = json.loads(data.truth.read_text())
    document["annotations"] = document["annotations"][:6]
    (results / "masks.json").parent.mkdir(parents=True, exist_ok=True)
    (results / "masks.json").write_text(json.dumps(document))
    return short_spec(data, results, dataset__masks_ann_path=str(results / "masks.json"), **changes)


def test_a_run_with_true_masks_resumes_as_a_whole_one(data, whole, tmp_path, capfd):
    for part, changes in (("whole", {}), ("resumed", {"dataset__num_workers_per_gpu": 2})):
        if part == "resumed":
            changes["train__resume_training_checkpoint_path"] = str(tmp_path / "whole/train/model_step_000004.pth")
        outcome = run_mal(capfd, "train", "-e", with_true_masks(data, tmp_path / part, **changes))
        assert outcome.exit_code == 0, outcome.err
        assert "6 true masks to learn from" in outcome.out
    ends = [training_state(tmp_path / part / "train/mal_model_latest.pth") for part in ("whole", "resumed")]
    assert_equal_states(*ends)
    without = training_state(whole / "mal_model_latest.pth")
    with pytest.raises(AssertionError):
        assert_equal_states(ends[0], without)


@pytest.mark.slow
def test_two_processes_learn_from_the_targets_of_one(data, whole, tmp_path):
    spec = short_spec(data, tmp_path, train__batch_size=8)
    outcome = run_mal_in_a_process("train", "-e", spec, env={"MAL_CPU_PROCESSES": "2", "OMP_NUM_THREADS": "1"})
    assert outcome.exit_code == 0, outcome.err
    ours, theirs = (logged_curves(folder / "tensorboard") for folder in (tmp_path / "train", whole))
    for name in ("train/dice", "train/bce", "train/target_fill", "train/target_fit", "train/target_confidence"):
        assert list(ours[name].values()) == pytest.approx(list(theirs[name].values()), rel=1e-3)
