"""What true masks, boxes and flags of a file may be like, seen from the commands that read them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from mal.masks.rle import empty_rle
from tests.cli.small_runs import run_mal
from tests.export.exported import CROP_SIZE, small_checkpoint

WIDTH, HEIGHT = 200, 150
BOXES = [[6, 25, 34, 44], [53, 95, 30, 28], [82, 95, 34, 42], [142, 53, 36, 51], [55, 44, 17, 22], [118, 50, 27, 23]]


def outline(x, y, w, h):
    """An octagon that touches all sides of a box."""
    across, down = w / 4, h / 4
    corners = [(across, 0), (w - across, 0), (w, down), (w, h - down), (w - across, h), (across, h)]
    corners += [(0, h - down), (0, down)]
    return [[value for dx, dy in corners for value in (x + dx, y + dy)]]


def record(number, box, **changes):
    sound = {"id": number, "image_id": 1, "category_id": 1, "bbox": box, "segmentation": outline(*box), "iscrowd": 0}
    return sound | changes


def records(**changes):
    return [record(number, box, **changes) for number, box in enumerate(BOXES, start=1)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("network") / "net.pth")


@pytest.fixture
def folder(tmp_path, monkeypatch, checkpoint) -> Path:
    """A photo of 200 x 150 pixels in `photos` and a spec for its file, `truth.json`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photos/a.png")
    spec = {
        "dataset": {"val_ann_path": "truth.json", "val_img_dir": "photos", "crop_size": CROP_SIZE},
        "evaluate": {"checkpoint": str(checkpoint), "report": False},
        "inference": {
            "checkpoint": str(checkpoint),
            "ann_path": "truth.json",
            "img_dir": "photos",
            "load_mask": True,
            "report": False,
        },
        "wandb": {"enable": False},
        "results_dir": "out",
    }
    spec["dataset"]["num_workers_per_gpu"] = 0
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    return tmp_path


def write(annotations) -> None:
    images = [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "nut"}]}
    Path("truth.json").write_text(json.dumps(document))


def evaluated(capfd, annotations, *flags):
    write(annotations)
    outcome = run_mal(capfd, "evaluate", "-e", "spec.yaml", *flags)
    metrics = Path("out/evaluate/metrics.json")
    return outcome, json.loads(metrics.read_text()) if metrics.exists() else None


def test_sound_masks_are_all_measured(folder, capfd):
    outcome, metrics = evaluated(capfd, records())
    assert outcome.exit_code == 0
    assert (metrics["model"]["n"], metrics["no_truth"]) == (6, 0)
    assert metrics["box"]["miou_instances"] == pytest.approx(0.875, abs=0.02)
    assert "in no figure" not in outcome.out


BELOW = [[10.0, 160, 40, 160, 40, 190, 10, 190]]


@pytest.mark.parametrize("segmentation", [BELOW, [[-40, 5, -9, 5, -9, 40]], empty_rle(WIDTH, HEIGHT)])
def test_a_mask_without_a_pixel_is_named_and_changes_no_mean(folder, capfd, segmentation):
    _, without = evaluated(capfd, records()[1:])
    others = {"box": without["box"], "model": without["model"]}
    outcome, metrics = evaluated(capfd, [record(1, BOXES[0], segmentation=segmentation), *records()[1:]])
    assert outcome.exit_code == 0
    assert {method: metrics[method] for method in others} == others
    assert (metrics["model"]["n"], metrics["no_truth"]) == (5, 1)
    assert "warned: annotation 1: its mask has no pixel" in outcome.out
    assert "in no figure: 1 boxes like annotation 1: its mask has no pixel" in outcome.out


def test_masks_of_boxes_that_are_two_corners_are_of_no_use_and_the_reason_is_told(folder, capfd):
    write(
        [
            record(row["id"], [x, y, x + w, y + h], segmentation=outline(x, y, w, h))
            for row, (x, y, w, h) in zip(records(), BOXES, strict=True)
        ]
    )
    outcome = run_mal(capfd, "evaluate", "-e", "spec.yaml")
    assert outcome.exit_code == 1
    (line,) = outcome.error_lines
    assert "4 of 6 boxes reach out of their image as x, y, width, height, none as x0, y0, x1, y1" in line
    assert "6 boxes like annotation 1: its mask does not fit its box" in line
    outcome = run_mal(capfd, "check", "--deep", "truth.json", "photos")
    assert outcome.exit_code == 1
    assert "good" not in outcome.out


def test_masks_that_do_not_fit_their_boxes_are_named_and_change_no_mean(folder, capfd):
    _, without = evaluated(capfd, records()[1:])
    outcome, metrics = evaluated(capfd, [record(1, BOXES[0], segmentation=outline(*BOXES[5])), *records()[1:]])
    assert metrics["model"] == without["model"]
    assert "in no figure: 1 boxes like annotation 1: its mask does not fit its box" in outcome.out


@pytest.mark.parametrize("command", ["evaluate", "evaluate --box-noise"])
def test_where_no_mask_is_left_nothing_is_measured_and_the_exit_code_says_so(folder, capfd, command):
    shares = [
        [value / side for value, side in zip(outline(*box)[0], [WIDTH, HEIGHT] * 8, strict=True)] for box in BOXES
    ]
    write(
        [record(number, box, segmentation=[each]) for number, (box, each) in enumerate(zip(BOXES, shares, strict=True))]
    )
    outcome = run_mal(capfd, *command.split(), "-e", "spec.yaml")
    assert outcome.exit_code == 1
    (line,) = outcome.error_lines
    assert "truth.json: no mask is left to compare with (6 boxes like annotation 0: its mask has no pixel" in line
    assert "look normalised" in line


def test_carelessly_drawn_boxes_are_measured_against_the_same_masks_alone(folder, capfd):
    _, metrics = evaluated(capfd, [record(1, BOXES[0], segmentation=BELOW), *records()[1:]], "--box-noise")
    noise = json.loads(Path("out/evaluate/box_noise.json").read_text())
    assert (noise["boxes"], metrics["model"]["n"]) == (5, 5)
    assert noise["both"][-1]["box"] > 0.4


def test_labelling_compares_with_no_mask_that_says_nothing(folder, capfd):
    write([record(1, BOXES[0], segmentation=BELOW), *records()[1:]])
    outcome = run_mal(capfd, "inference", "-e", "spec.yaml")
    assert outcome.exit_code == 0, outcome.err
    report = json.loads(Path("out/inference/inference_report.json").read_text())
    assert report["counts"]["labelled"] == 6
    (entry,) = [entry for entry in report["records"] if entry["action"] == "warned"]
    assert (entry["annotation_id"], "its mask has no pixel" in entry["reason"]) == (1, True)


LOOKS = {
    "bbox looks like x0 y0 x1 y1": lambda x, y, w, h: [x, y, x + w, y + h],
    "bbox looks normalised": lambda x, y, w, h: [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT],
    "bbox looks like per cent": lambda x, y, w, h: [100 * x / 1200, 100 * y / 900, 100 * w / 1200, 100 * h / 900],
}


def other_boxes(looks: str):
    scale = 6 if "per cent" in looks else 1  # no photo of 200 pixels tells much of per cent
    if scale > 1:
        pixels = np.zeros((scale * HEIGHT, scale * WIDTH, 3), np.uint8)
        Image.fromarray(pixels).save("photos/a.png")
    boxes = [LOOKS[looks](*(scale * side for side in box)) for box in BOXES]
    images = [{"id": 1, "file_name": "a.png", "width": scale * WIDTH, "height": scale * HEIGHT}]
    annotations = [record(number, box, segmentation=[]) for number, box in enumerate(boxes)]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "nut"}]}
    Path("truth.json").write_text(json.dumps(document))


@pytest.mark.parametrize("looks", LOOKS)
def test_boxes_of_another_convention_are_told_by_labelling_and_used_as_they_are(folder, capfd, checkpoint, looks):
    other_boxes(looks)
    line = ("--ann", "truth.json", "--images", "photos", "--checkpoint", checkpoint, "--workers", "0")
    outcome = run_mal(capfd, "label", *line, "--out", "masks.json")
    assert outcome.exit_code == 0
    assert f"truth.json: {'4 of' if 'x0' in looks else 'all'} 6 boxes" in outcome.out
    report = json.loads(Path("masks_report.json").read_text())
    assert len([entry for entry in report["records"] if looks in entry["reason"]]) == 1
    given, written = (json.loads(Path(name).read_text())["annotations"] for name in ("truth.json", "masks.json"))
    assert [row["bbox"] for row in given] == [row["bbox"] for row in written]


@pytest.mark.parametrize("looks", LOOKS)
def test_boxes_of_another_convention_are_told_by_training(folder, capfd, looks):
    other_boxes(looks)
    model = {"arch": "vit-deit-tiny/16", "num_blocks": 1, "mask_head_num_convs": 1}
    dataset = {"train_ann_path": "truth.json", "train_img_dir": "photos", "crop_size": 64, "min_obj_size": 0}
    train = {"num_epochs": 1, "batch_size": 4, "crf_num_iter": 1, "use_amp": False}
    spec = {"model": model, "dataset": dataset | {"num_workers_per_gpu": 0}, "train": train, "results_dir": "out"}
    Path("train.yaml").write_text(yaml.safe_dump(spec))
    outcome = run_mal(capfd, "train", "-e", "train.yaml")
    assert outcome.exit_code == ("normalised" in looks)
    assert looks in outcome.out + outcome.err


def test_a_photo_s_boxes_in_shares_of_its_sides_are_told(folder, capfd, checkpoint):
    line = ("--image", "photos/a.png", "--box", "0.1,0.2,0.5,0.6", "--overlay", "o.png", "--checkpoint", checkpoint)
    outcome = run_mal(capfd, "label", *line)
    assert "warned: photos/a.png: all 1 boxes lie within 0..1: bbox looks normalised" in outcome.out
    assert "BoxWarning" not in outcome.err


def test_odd_but_honest_boxes_train_with_finite_losses(folder, capfd):
    """The whole image, larger than it, at a corner, on black; a thin one is named and left out."""
    whole, larger = [0, 0, WIDTH, HEIGHT], [-20, -20, WIDTH + 40, HEIGHT + 40]
    boxes = [whole, larger, [0, 0, 9, 9], [191, 141, 9, 9], [20, 20, 2, 90], *BOXES[:4]]
    write([record(number, box) for number, box in enumerate(boxes)])
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save("photos/a.png")
    model = {"arch": "vit-deit-tiny/16", "num_blocks": 1, "mask_head_num_convs": 1}
    dataset = {"train_ann_path": "truth.json", "train_img_dir": "photos", "crop_size": 64, "min_obj_size": 0}
    train = {"num_epochs": 2, "batch_size": 4, "crf_num_iter": 2, "use_amp": False}
    spec = {"model": model, "dataset": dataset | {"num_workers_per_gpu": 0}, "train": train, "results_dir": "out"}
    Path("train.yaml").write_text(yaml.safe_dump(spec))
    outcome = run_mal(capfd, "train", "-e", "train.yaml")
    assert outcome.exit_code == 0
    assert "8 of 9 boxes" in outcome.out
    assert "1 boxes are not trained on: they are at most 2 pixels wide or high" in outcome.out
    lines = [json.loads(line) for line in Path("out/train/status.json").read_text().splitlines()]
    losses = [value for line in lines for name, value in line.get("metrics", {}).items() if name.startswith("train/")]
    assert losses
    assert np.isfinite(losses).all()
