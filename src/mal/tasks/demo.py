"""`mal demo`: the whole workflow on a generated data set, and real photos labeled at once."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mal.auto.request import AutoRequest, AutoResult
from mal.coco.boxes import Box
from mal.coco.ground_truth import GroundTruth
from mal.config.load import load_spec, save_spec
from mal.config.schema import ExperimentSpec, label_dump_file
from mal.console import console
from mal.data.images import read_image, read_record_image
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler
from mal.labeling.pipeline import compute_labels
from mal.masks.rle import Rle
from mal.metrics.iou import mask_iou
from mal.report.demo_page import DemoCase, DemoSummary, LabelledPhoto, write_demo_page
from mal.runtime.launch import CPU_PROCESSES
from mal.sample.generate import SamplePaths, make_sample
from mal.sample.photos import PhotoPaths, write_photos
from mal.tasks import auto, evaluate, train
from mal.tasks.report import PAGE
from mal.training.checkpoint_files import LATEST_NAME

CASES_SHOWN = 12
SPEC_NAME = "demo.yaml"


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a demo."""

    num_train_images: int
    num_val_images: int
    num_epochs: int


FULL, QUICK = Size(160, 60, 4), Size(8, 4, 1)


def run(out_dir: Path, *, quick: bool = False) -> int:
    """Generate a sample, train on its boxes, evaluate and label held-out images, label real photos, and draw all.

    Args:
        out_dir: output folder; an earlier demo there is replaced.
        quick: train only briefly, to check that everything works.

    Returns:
        Exit code 0.

    Raises:
        UserError: the folder holds something other than an earlier demo.
    """
    size = QUICK if quick else FULL
    os.environ.pop(CPU_PROCESSES, None)  # other ranks would run the whole demo again
    _clear(out_dir)
    _say(1, f"generating {size.num_train_images + size.num_val_images} pictures in {out_dir / 'sample'}")
    sample = make_sample(out_dir / "sample", num_train_images=size.num_train_images, num_val_images=size.num_val_images)
    spec_file = out_dir / SPEC_NAME
    spec = _demo_spec(out_dir, sample, size)
    save_spec(spec, spec_file)

    _say(2, f"training on {sample.boxes_train.name}, which holds boxes and no mask")
    start = time.monotonic()
    train.run(load_spec(spec_file, task="train"))
    seconds = time.monotonic() - start
    _say(3, f"labelling {sample.boxes_val.name}, held-out pictures, by `mal auto`")
    labelled = _auto(
        source=str(sample.boxes_val),
        images=str(sample.val_images),
        out=out_dir / "inference",
        checkpoint=out_dir / "train" / LATEST_NAME,
    )
    _say(4, f"evaluating the same network, against {sample.instances_val.name}")
    evaluate.run(load_spec(spec_file, _refined_as(labelled), task="evaluate"), agreement=True)
    photos = write_photos(out_dir / "photos")
    _say(5, f"labelling real photos, as `mal auto {out_dir / 'photos'} --minutes 0` does")
    masks = _auto(source=str(out_dir / "photos")).masks
    _say(6, "drawing the pictures")
    _draw(out_dir, spec, sample, seconds, _labelled_photos(photos, masks))
    console.print(f"report: {out_dir / 'evaluate' / PAGE}, and of the labels: {out_dir / 'inference' / PAGE}")
    return 0


def _auto(**request: Any) -> AutoResult:
    """What `mal auto --minutes 0` does."""
    result = auto.run(AutoRequest(minutes=0, **request))
    assert result is not None
    return result


def _refined_as(labelled: AutoResult) -> list[str]:
    """Overrides, so that the masks that are measured are those that are shown."""
    return [f"evaluate.refine={labelled.refine}"] if labelled.refine else []


def _clear(out_dir: Path) -> None:
    """Remove an earlier demo, which would be resumed otherwise; touch nothing else."""
    if not out_dir.exists() or not any(out_dir.iterdir()):
        return
    if not (out_dir / SPEC_NAME).is_file():
        raise UserError(f"{out_dir}: is not empty and holds no earlier demo; choose another folder with --out")
    for name in ("sample", "train", "evaluate", "inference", "photos", "photos_masks"):
        shutil.rmtree(out_dir / name, ignore_errors=True)


def _say(number: int, what: str) -> None:
    console.rule(f"{number}/6 {what}", align="left")


def _demo_spec(out_dir: Path, sample: SamplePaths, size: Size) -> ExperimentSpec:
    checkpoint = out_dir / "train" / LATEST_NAME
    overrides = {
        "results_dir": out_dir,
        "dataset.train_ann_path": sample.boxes_train,
        "dataset.train_img_dir": sample.train_images,
        "dataset.val_ann_path": sample.instances_val,
        "dataset.val_img_dir": sample.val_images,
        "train.num_epochs": size.num_epochs,
        "evaluate.checkpoint": checkpoint,
        "inference.checkpoint": checkpoint,
        "inference.ann_path": sample.boxes_val,
        "inference.img_dir": sample.val_images,
        "inference.label_dump_path": "masks.json",
    }
    with resources.as_file(resources.files("mal") / "assets" / "demo.yaml") as template:
        return load_spec(
            template,
            [
                f"{key}={json.dumps(str(value)) if isinstance(value, Path) else value}"
                for key, value in overrides.items()
            ],
        )


def _labelled_photos(photos: PhotoPaths, masks: Path) -> list[LabelledPhoto]:
    document = json.loads(masks.read_text(encoding="utf-8"))
    found = []
    for image in document["images"]:
        boxes = [each for each in document["annotations"] if each["image_id"] == image["id"]]
        corners = np.array([each["bbox"] for each in boxes])
        corners[:, 2:] += corners[:, :2]
        pixels = read_image(photos.images / image["file_name"])
        found.append(LabelledPhoto(image["credit"], pixels, corners, [each["segmentation"] for each in boxes]))
    return found


def _draw(
    out_dir: Path, spec: ExperimentSpec, sample: SamplePaths, seconds: float, photos: Sequence[LabelledPhoto]
) -> None:
    source = AnnotatedImages(sample.instances_val, sample.val_images)
    truth = _truth(source)
    before = _masks_of_starter(spec, source)
    after = _read_masks(label_dump_file(spec))
    metrics = json.loads((out_dir / "evaluate" / "metrics.json").read_text(encoding="utf-8"))
    training = json.loads(sample.boxes_train.read_text(encoding="utf-8"))
    summary = DemoSummary(
        filled_box_miou=metrics["box"]["miou_instances"],
        ellipse_miou=metrics["ellipse"]["miou_instances"],
        model_miou=metrics["model"]["miou_instances"],
        before_miou=float(np.mean([mask_iou(before[position], rle) for position, rle in truth.items()])),
        num_train_boxes=len(training["annotations"]),
        num_train_images=len(training["images"]),
        num_val_boxes=len(truth),
        num_val_images=len(source.coco.images),
        train_seconds=seconds,
        starting_point="the starter of the package",
        before_title="The starter",
        which_pictures=f"The first {CASES_SHOWN} held-out pictures, not chosen by result.",
    )
    paths = write_demo_page(out_dir, _cases(source, before, after, truth), summary, photos)
    console.print(
        f"mean IoU on held-out pictures: filled box {summary.filled_box_miou:.3f}, "
        f"inscribed ellipse {summary.ellipse_miou:.3f}, model {summary.model_miou:.3f}"
    )
    console.print(f"masks: {label_dump_file(spec)}")
    console.print(f"pictures: {paths.html} and {paths.png}")


def _truth(source: AnnotatedImages) -> dict[int, Rle]:
    truth = GroundTruth(source.coco)
    masks = {box.position: truth.rle(box) for box in source.boxes_to_label}
    return {position: rle for position, rle in masks.items() if rle is not None}


def _masks_of_starter(spec: ExperimentSpec, source: AnnotatedImages) -> dict[int, Rle]:
    labels = compute_labels(source, MaskAutoLabeler(), batch_size=spec.inference.batch_size)
    return {position: label.rle for position, label in labels.items()}


def _read_masks(label_file: Path) -> dict[int, Rle]:
    annotations = json.loads(label_file.read_text(encoding="utf-8"))["annotations"]
    return {position: annotation["segmentation"] for position, annotation in enumerate(annotations)}


def _cases(
    source: AnnotatedImages, before: dict[int, Rle], after: dict[int, Rle], truth: dict[int, Rle]
) -> list[DemoCase]:
    by_image: dict[int, list[Box]] = {}
    for box in source.boxes_to_label:
        by_image.setdefault(box.image.position, []).append(box)
    return [_case(source, boxes, before, after, truth) for boxes in list(by_image.values())[:CASES_SHOWN]]


def _case(
    source: AnnotatedImages,
    boxes: Sequence[Box],
    before: dict[int, Rle],
    after: dict[int, Rle],
    truth: dict[int, Rle],
) -> DemoCase:
    image = boxes[0].image
    return DemoCase(
        name=image.file_name,
        image=read_record_image(source.img_dir, image),
        boxes_xyxy=np.array([box.xyxy for box in boxes]),
        before=[before[box.position] for box in boxes],
        after=[after[box.position] for box in boxes],
        truth=[truth[box.position] for box in boxes],
    )
