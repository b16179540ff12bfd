"""Photos that viewers turn by their EXIF orientation, in every command that reads pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from mal.checkpoint.saved_spec import saved_spec
from mal.masks.rle import mask_from_rle
from tests.cli.small_runs import MODEL, run_mal
from tests.data.turned import as_seen, save_turned
from tests.small_networks import small_network, small_spec

HEIGHT, WIDTH = 90, 120
BOXES = [[8.0, 60.0, 50.0, 55.0], [30.0, 10.0, 55.0, 48.0]]  # of the upright picture, 90 x 120


def pixels(seed: int) -> np.ndarray:
    """(90, 120, 3) uint8 noise of blocks, so that a mask depends on where it lies."""
    blocks = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 15, WIDTH // 15, 3), dtype=np.uint8)
    return blocks.repeat(15, axis=0).repeat(15, axis=1)


def coco(names: list[str], size: tuple[int, int] | None) -> dict:
    images = [{"id": n, "file_name": name} for n, name in enumerate(names, start=1)]
    for image in images:
        image |= dict(zip(("width", "height"), size, strict=True)) if size else {}
    boxes = [(image["id"], box) for image in images for box in BOXES]
    annotations = [
        {
            "id": n,
            "image_id": image_id,
            "category_id": 1,
            "bbox": box,
            "iscrowd": 0,
            "segmentation": [[box[0], box[1], box[0] + box[2], box[1], box[0] + box[2], box[1] + box[3]]],
        }
        for n, (image_id, box) in enumerate(boxes, start=1)
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "nut"}]}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Photos with an orientation in `photos` and as viewers show them in `upright`, their boxes, and a model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "upright").mkdir()
    for name, orientation in (("a.png", 6), ("b.tif", 8)):
        save_turned(tmp_path / "photos" / name, pixels(orientation), orientation)
        Image.fromarray(as_seen(pixels(orientation), orientation)).save(tmp_path / "upright" / name)
    for file, size in (
        ("upright.json", (HEIGHT, WIDTH)),
        ("stored_size.json", (WIDTH, HEIGHT)),
        ("no_size.json", None),
    ):
        (tmp_path / file).write_text(json.dumps(coco(["a.png", "b.tif"], size)))
    network, spec = small_network(), small_spec(dataset={"crop_size": 64})
    tensors = {f"{who}.{name}": value for who in ("student", "teacher") for name, value in network.state_dict().items()}
    torch.save({"state_dict": tensors, "hyper_parameters": saved_spec(spec, "patch")}, tmp_path / "model.pth")
    return tmp_path


def label(capfd, ann: str, images: str, out: str, *options: str):
    arguments = ("--checkpoint", "model.pth", "--device", "cpu", "--workers", "0", "--out", out, *options)
    return run_mal(capfd, "label", "--ann", ann, "--images", images, *arguments)


def masks(path: Path) -> list[np.ndarray]:
    return [mask_from_rle(record["segmentation"]) for record in json.loads(path.read_text())["annotations"]]


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


@pytest.mark.parametrize("ann", ["upright.json", "stored_size.json", "no_size.json"])
def test_boxes_drawn_in_a_viewer_are_labelled_as_on_pictures_that_are_turned_for_good(folder, capfd, ann):
    assert label(capfd, "upright.json", "upright", "expected.json").exit_code == 0
    outcome = label(capfd, ann, "photos", "masks.json", "--exif", "upright")
    assert outcome.exit_code == 0
    assert (
        "2 of 2 pictures have an EXIF orientation by which viewers turn them (a.png): they are read turned"
        in outcome.out
    )
    for ours, expected in zip(masks(folder / "masks.json"), masks(folder / "expected.json"), strict=True):
        assert np.array_equal(ours, expected)
    document = json.loads((folder / "masks.json").read_text())
    assert document["mal"] == {"exif": "upright"}
    assert [(image["width"], image["height"]) for image in document["images"]] == [(HEIGHT, WIDTH)] * 2


def test_a_label_file_of_turned_pictures_says_so_to_the_commands_that_read_it(folder, capfd):
    label(capfd, "stored_size.json", "photos", "masks.json", "--exif", "upright")
    outcome = run_mal(capfd, "report", "--ann", "masks.json", "--images", "photos")
    assert outcome.exit_code == 0
    assert "no picture" not in outcome.out
    assert "(4 masks, 4 as pictures" in outcome.out
    assert json.loads((folder / "review_queue.json").read_text())["mal"] == {"exif": "upright"}
    assert run_mal(capfd, "check", "masks.json", "photos").exit_code == 0


def test_labelling_tells_in_one_line_how_many_pictures_viewers_turn(folder, capfd):
    outcome = label(capfd, "stored_size.json", "photos", "masks.json")
    assert outcome.exit_code == 0
    (line,) = [line for line in outcome.out.splitlines() if "EXIF" in line]
    assert line.startswith("2 of 2 pictures have an EXIF orientation")
    assert line.endswith("give --exif upright")


def test_a_run_does_not_go_on_with_pictures_turned_otherwise(folder, capfd):
    (folder / "photos/a.png").rename(folder / "a.png")
    assert label(capfd, "stored_size.json", "photos", "masks.json").exit_code == 1
    outcome = label(capfd, "stored_size.json", "photos", "masks.json", "--exif", "upright")
    assert outcome.exit_code == 1
    assert "exif (it was stored, now it is upright)" in outcome.err


def test_records_that_fit_only_the_turned_picture_are_refused_with_the_reason(folder, capfd):
    outcome = label(capfd, "upright.json", "photos", "masks.json")
    assert outcome.exit_code == 1
    assert "a.png is 120 x 90 pixels, but its record (id 1) says 90 x 120, its size as viewers turn it" in outcome.out


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_turned_photo_with_boxes_on_the_command_line_is_warned_of(folder, capfd, suffix):
    save_turned(folder / f"c{suffix}", pixels(6), 6)
    photo = ("--image", f"c{suffix}", "--box", "8,20,50,55", "--checkpoint", "model.pth", "--device", "cpu")
    outcome = run_mal(capfd, "label", *photo, "--out", "c.json")
    assert f"warning: c{suffix} has EXIF orientation 6, read as it is stored" in outcome.out
    assert size_of(folder / "c_masks.png") == (WIDTH, HEIGHT)
    outcome = run_mal(capfd, "label", *photo, "--exif", "upright", "--out", "c.json", "--overwrite")
    assert "read turned, as viewers show it" in outcome.out
    assert size_of(folder / "c_masks.png") == (HEIGHT, WIDTH)
    document = json.loads((folder / "c.json").read_text())
    assert (document["images"][0]["width"], document["mal"]) == (HEIGHT, {"exif": "upright"})


def test_an_upright_photo_on_the_command_line_is_no_news(folder, capfd):
    outcome = run_mal(
        capfd,
        "label",
        "--image",
        "upright/a.png",
        "--box",
        "8,20,50,55",
        "--checkpoint",
        "model.pth",
        "--device",
        "cpu",
    )
    assert "EXIF" not in outcome.out


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), None])
def test_check_does_not_call_good_what_may_be_drawn_on_turned_pictures(folder, capfd, orientation, size):
    save_turned(folder / "photos/c.jpg", pixels(0), orientation)
    Path("c.json").write_text(json.dumps(coco(["c.jpg"], size)))
    outcome = run_mal(capfd, "check", "c.json", "photos")
    assert "good" not in outcome.out
    assert "look at these" in outcome.out
    assert "viewers turn 1 of the 1 pictures that have boxes (EXIF orientation)" in outcome.out.replace("\n", " ")
    outcome = run_mal(capfd, "check", "c.json", "photos", "--exif", "upright")
    assert outcome.exit_code == 0
    assert "good: all 2 annotations" in outcome.out


def test_check_takes_from_a_spec_what_boxes_are_drawn_on(folder, capfd):
    dataset = {"val_ann_path": "stored_size.json", "val_img_dir": "photos", "exif": "upright"}
    Path("spec.yaml").write_text(yaml.safe_dump({"dataset": dataset}))
    assert "good: all 4 annotations" in run_mal(capfd, "check", "-e", "spec.yaml").out
    assert "look at these" in run_mal(capfd, "check", "-e", "spec.yaml", "dataset.exif=stored").out


@pytest.mark.slow
def test_training_evaluation_and_inference_go_by_the_spec(folder, capfd):
    files = {f"{part}_ann_path": "stored_size.json" for part in ("train", "val")}
    spec = {
        "results_dir": "results",
        "model": dict(MODEL),
        "dataset": files
        | {f"{part}_img_dir": "photos" for part in ("train", "val")}
        | {"crop_size": 64, "num_workers_per_gpu": 0, "min_obj_size": 100, "exif": "upright"},
        "train": {"num_epochs": 1, "batch_size": 4, "crf_num_iter": 2, "use_amp": False},
        "evaluate": {"checkpoint": "results/train/mal_model_latest.pth"},
        "inference": {
            "checkpoint": "results/train/mal_model_latest.pth",
            "ann_path": "stored_size.json",
            "img_dir": "photos",
            "label_dump_path": "masks.json",
        },
        "wandb": {"enable": False},
    }
    Path("spec.yaml").write_text(yaml.safe_dump(spec))
    for task in ("train", "evaluate", "inference"):
        outcome = run_mal(capfd, task, "-e", "spec.yaml")
        assert outcome.exit_code == 0, outcome
        assert "2 of 2 pictures have an EXIF orientation" in outcome.out
        assert "no picture" not in outcome.out
        assert yaml.safe_load(Path(f"results/{task}/spec.yaml").read_text())["dataset"]["exif"] == "upright"
    assert [mask.shape for mask in masks(folder / "results/inference/masks.json")] == [(WIDTH, HEIGHT)] * 4
    outcome = run_mal(capfd, "report", "results/evaluate")
    assert "(4 masks, 4 as pictures" in outcome.out
