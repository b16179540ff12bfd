"""Report data from the results of `mal evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mal.bounded_yaml import load_yaml
from mal.coco.coco_file import CocoFile, read_coco
from mal.coco.lazy_json import loads
from mal.config.references import with_environment
from mal.data.images import fill_missing_sizes
from mal.data.picture_remarks import choose_reading
from mal.errors import UserError, one_line
from mal.masks.rle import Rle, rle_from_segmentation
from mal.metrics.instance_file import read_instances
from mal.metrics.predictions import read_predictions
from mal.paths import to_path
from mal.reading import Reading
from mal.report.demo_page import TrainingCurves, training_curves
from mal.report.page import share_text
from mal.report.report_data import HeadlineMetric, Instances, MaskPair, ReportData, instances_of

FIGURES = (
    ("miou_classes", "mIoU over classes", "mean of the classes' mean IoU; the published definition"),
    ("miou_instances", "mIoU over boxes", "mean IoU of all masks"),
    ("boundary_iou_instances", "Boundary IoU", "agreement along the outline only"),
    ("dice_instances", "Dice", "mean over all masks"),
    ("share_iou_50", "IoU ≥ 0.5", "share of masks: the object is found"),
    ("share_iou_75", "IoU ≥ 0.75", "share of masks: good for most uses"),
    ("share_iou_90", "IoU ≥ 0.9", "share of masks: as a careful annotator draws"),
    ("mask_ap", "Mask AP", "COCO AP with the true boxes given"),
)
METHODS = (("ellipse", "ellipse in box"), ("box", "filled box"))
LOW = 0.5  # a mask below this IoU is called poor


def headline_metrics(metrics: Mapping[str, Any]) -> list[HeadlineMetric]:
    """The headline metrics that `metrics.json` holds."""
    found = []
    for key, name, note in FIGURES:
        value = _figure(metrics, "model", key)
        if value is not None:
            others = [(title, _figure(metrics, method, key)) for method, title in METHODS]
            known = [(title, other) for title, other in others if other is not None]
            found.append(HeadlineMetric(name, value, _interval(metrics, key), known, note))
    return found


def summary_text(metrics: list[HeadlineMetric], instances: Instances) -> str:
    """What was found, in two or three sentences."""
    if not metrics:
        return ""
    first = metrics[0]
    sentences = [f"The masks reach {first.value:.3f} {first.name}{_range(first)}"]
    if first.others:
        title, best = max(first.others, key=lambda other: other[1])
        sentences[0] += f"; the {title} alone reaches {best:.3f}"
    iou = instances.measures.get("iou")
    if iou is not None:
        known = iou[~np.isnan(iou)]
        poor = int((known < LOW).sum())
        sentences.append(
            f"{poor:,} of {len(known):,} masks ({share_text(poor / max(1, len(known)))}) stay below an IoU of 0.5"
        )
        worse = instances.measures.get("ellipse_iou")
        if worse is not None:
            lost = int((iou < worse).sum())
            sentences.append(
                f"{lost:,} ({share_text(lost / max(1, len(known)))}) are worse than the plain ellipse in their box"
            )
    return ". ".join(sentences) + "."


def _range(metric: HeadlineMetric) -> str:
    return f" (95 % interval {metric.interval[0]:.3f} to {metric.interval[1]:.3f})" if metric.interval else ""


def _figure(metrics: Mapping[str, Any], method: str, key: str) -> float | None:
    value = metrics.get(method, {}).get(key)
    return float(value) if isinstance(value, (int, float)) else None


def _interval(metrics: Mapping[str, Any], key: str) -> tuple[float, float] | None:
    found = (metrics.get("model", {}).get("intervals") or {}).get(key)
    return (float(found[0]), float(found[1])) if found else None


METRICS, INSTANCES, PREDICTIONS, BOX_NOISE = "metrics.json", "instances.csv", "predictions.json", "box_noise.json"


def read_evaluation(
    folder: Path, *, ann: Path | None = None, images: Path | None = None, train: Path | None = None
) -> ReportData:
    """What `mal evaluate` has left in its results folder.

    Args:
        folder: the folder.
        ann, images: annotation file and folder of images, where they are no longer where the folder's spec says.
        train: results folder of the training; None looks beside the checkpoint.

    Raises:
        UserError: the folder holds no evaluation, or files do not belong together.
    """
    metrics = _json(folder / METRICS)
    ann_path, img_dir, reading = _inputs(folder, ann, images)
    coco = read_coco(ann_path)
    choose_reading(coco, img_dir, reading)
    fill_missing_sizes(coco, img_dir)
    instances = _instances(folder / INSTANCES, coco)
    curves = _curves(metrics, train)
    facts = [
        ("checkpoint", str(metrics.get("checkpoint", ""))),
        ("annotations", str(ann_path)),
        ("masks", f"{len(instances):,} in {len(instances.images):,} images, {len(instances.class_names)} classes"),
        ("results", str(folder)),
        *([("training", str(curves.folder))] if curves else []),
    ]
    headline = headline_metrics(metrics)
    noise = folder / BOX_NOISE
    return ReportData(
        kind="Evaluation",
        title=f"How good are the masks of {Path(str(metrics.get('checkpoint', 'the model'))).name}?",
        summary=summary_text(headline, instances),
        facts=facts,
        headline_metrics=headline,
        instances=instances,
        img_dir=img_dir,
        masks=_masks(folder / PREDICTIONS, coco, instances),
        box_noise=_json(noise) if noise.is_file() else None,
        curves=curves,
    )


def _json(path: Path) -> Any:
    try:
        return loads(path.read_bytes())[0]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; `mal evaluate` writes it") from error
    except ValueError as error:
        raise UserError(f"{path}: is not JSON: {error}") from error


def _inputs(folder: Path, ann: Path | None, images: Path | None) -> tuple[Path, Path, Reading]:
    spec_file = folder / "spec.yaml"
    try:
        spec = load_yaml(spec_file.read_text(encoding="utf-8")) if spec_file.is_file() else {}
        dataset = spec.get("dataset") or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        raise UserError(f"{spec_file}: is not the spec of a run: {one_line(error)}") from error
    found = []
    for given, key, option in ((ann, "val_ann_path", "--ann"), (images, "val_img_dir", "--images")):
        path = given or (to_path(with_environment(str(dataset[key]))) if dataset.get(key) else None)
        if path is None or not path.exists():
            where = f"{path} (dataset.{key})" if path else f"dataset.{key}"
            raise UserError(f"{spec_file}: {where} is not there; say where it is with {option}")
        found.append(path)
    return found[0], found[1], Reading.of_saved(dataset)


def _instances(path: Path, coco: CocoFile) -> Instances:
    found = read_instances(path)
    positions = np.array([each.annotation_index for each in found], np.int64)
    table = coco.table
    if len(positions) and positions.max() >= len(table):
        raise UserError(f"{path}: names annotation {positions.max()}, but {coco.path} holds {len(table)}; give --ann")
    columns = {
        "iou": [each.iou for each in found],
        "score": [each.score for each in found],
        "boundary_iou": [each.boundary_iou for each in found],
        "dice": [each.dice for each in found],
        "box_iou": [each.box_iou_baseline for each in found],
        "ellipse_iou": [each.ellipse_iou for each in found],
        "agreement": [nan if each.agreement is None else each.agreement for each in found],
    }
    return instances_of(coco, positions, [each.category for each in found], columns, marks={})


def _masks(path: Path, coco: CocoFile, instances: Instances) -> Callable[[int], MaskPair]:
    predictions: dict[int, Rle] = {}
    if path.is_file():
        predictions = {each.annotation_index: each.rle for each in read_predictions(path)}

    def masks(row: int) -> MaskPair:
        position, image = int(instances.positions[row]), instances.image(row)
        segmentation = coco.annotations[position]["segmentation"]
        return predictions.get(position), rle_from_segmentation(segmentation, image.height, image.width)

    return masks


def _curves(metrics: dict[str, Any], train: Path | None) -> TrainingCurves | None:
    """Of the given folder, or of the one that the checkpoint lies in if a training has logged there."""
    if train is not None:
        return training_curves(train)
    checkpoint = metrics.get("checkpoint")
    folder = Path(checkpoint).parent if checkpoint else None
    if folder is None or not ((folder / "tensorboard").is_dir() or (folder / "status.json").is_file()):
        return None
    try:
        return training_curves(folder)
    except UserError:
        return None
