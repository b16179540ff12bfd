"""Few pictures with few boxes, and the command line run on them with a network that trains in seconds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from mal.cli import main

MODEL = {
    "arch": "vit-deit-tiny/16",
    "num_blocks": 1,
    "mask_head_num_convs": 2,
    "mask_head_hidden_channel": 8,
    "mask_head_out_channel": 8,
}


@dataclass(frozen=True)
class SmallData:
    """A COCO folder on disk.

    Attributes:
        images: folder of the pictures.
        boxes: file of the training boxes, without masks.
        truth: file of other pictures with masks.
    """

    folder: Path
    images: Path
    boxes: Path
    truth: Path


def small_data(folder: Path, source: Path, *, num_train: int = 3, num_val: int = 2, boxes_each: int = 3) -> SmallData:
    """The first pictures of a set with boxes large enough to train on, a few boxes each, with an extra key."""
    images = folder / "images"
    images.mkdir(parents=True)
    files = {"train": folder / "boxes_train.json", "val": folder / "instances_val.json"}
    names = {"train": "boxes_train.json", "val": "instances_val.json"}
    for part, count in (("train", num_train), ("val", num_val)):
        document = json.loads((source / "annotations" / names[part]).read_text())
        chosen = _first_with_boxes(document, count, boxes_each)
        for image in chosen["images"]:
            name = f"{part}_{image['file_name']}"  # generated sets number the pictures of each part from 0
            shutil.copy(source / "images" / part / image["file_name"], images / name)
            image["file_name"] = name
        files[part].write_text(json.dumps(chosen))
    return SmallData(folder, images, files["train"], files["val"])


def _first_with_boxes(document: Mapping[str, Any], count: int, boxes_each: int) -> dict[str, Any]:
    images: list[Any] = []
    annotations: list[Any] = []
    for image in document["images"]:
        boxes = [
            {**record, "note": "kept"}
            for record in document["annotations"]
            if record["image_id"] == image["id"]
            and not record["iscrowd"]
            and record["bbox"][2] * record["bbox"][3] > 2048
        ]
        if len(boxes) >= boxes_each and len(images) < count:
            images.append(image)
            annotations += boxes[:boxes_each]
    return {
        "info": {"from": "a test"},
        "images": images,
        "annotations": annotations,
        "categories": document["categories"],
    }


def write_spec(data: SmallData, results: Path, **changes: Any) -> Path:
    """A spec of a run that takes seconds; ``changes`` are dotted keys with ``__`` for the dot."""
    spec: dict[str, Any] = {
        "results_dir": str(results),
        "model": dict(MODEL),
        "dataset": {
            "train_ann_path": str(data.boxes),
            "train_img_dir": str(data.images),
            "val_ann_path": str(data.truth),
            "val_img_dir": str(data.images),
            "crop_size": 64,
            "num_workers_per_gpu": 0,
        },
        "train": {"num_epochs": 2, "batch_size": 4, "lr": 1e-4, "crf_num_iter": 5, "use_amp": False},
        "evaluate": {"checkpoint": str(results / "train/mal_model_latest.pth")},
        "inference": {
            "checkpoint": str(results / "train/mal_model_latest.pth"),
            "ann_path": str(data.truth),
            "img_dir": str(data.images),
            "label_dump_path": "masks.json",
        },
        "wandb": {"enable": False},
    }
    for key, value in changes.items():
        section, _, name = key.rpartition("__")
        (spec[section] if section else spec)[name] = value
    results.mkdir(parents=True, exist_ok=True)
    path = results / "spec_in.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


def status_lines(path: Path) -> list[dict[str, Any]]:
    """The entries of a ``status.json``, each line strict JSON."""

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


@dataclass(frozen=True)
class Outcome:
    """What a person sees of a command."""

    exit_code: int
    out: str
    err: str

    @property
    def error_lines(self) -> list[str]:
        """The lines on stderr that the tool wrote (a library's warning may stand beside them)."""
        return [line for line in self.err.splitlines() if line.startswith("mal: ")]


def run_mal(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> Outcome:
    """A command in this process; no traceback may be seen, not even from a worker process."""
    capfd.readouterr()
    exit_code = main([str(argument) for argument in arguments])
    return _without_traceback(Outcome(exit_code, *capfd.readouterr()))


def run_mal_in_a_process(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Outcome:
    """A command as a user starts it."""
    command: Sequence[str] = [sys.executable, "-m", "mal", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
    return _without_traceback(Outcome(done.returncode, done.stdout, done.stderr))


def _without_traceback(outcome: Outcome) -> Outcome:
    assert "Traceback" not in outcome.out + outcome.err, outcome.out + outcome.err
    return outcome
