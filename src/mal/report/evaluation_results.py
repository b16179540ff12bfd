"""A report's findings from the results folder of `mal evaluate`."""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mal.bounded_yaml import load_yaml
from mal.config.references import with_environment
from mal.data.coco import CocoFile, read_coco
from mal.data.images import fill_missing_sizes
from mal.data.json_in import loads
from mal.data.turned_pictures import choose_reading
from mal.errors import UserError, one_line
from mal.masks.rle import Rle, rle_from_segmentation
from mal.metrics.instance_file import read_instances
from mal.metrics.predictions import read_predictions
from mal.places import place
from mal.reading import Reading
from mal.report.evaluation_tiles import evaluation_tiles, story
from mal.report.findings import Findings, MaskPair
from mal.report.instances import Instances, instances_of
from mal.report.training_curves import TrainingCurves, training_curves

METRICS, INSTANCES, PREDICTIONS, BOX_NOISE = "metrics.json", "instances.csv", "predictions.json", "box_noise.json"


def read_evaluation(
    folder: Path, *, ann: Path | None = None, images: Path | None = None, train: Path | None = None
) -> Findings:
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
    tiles = evaluation_tiles(metrics)
    noise = folder / BOX_NOISE
    return Findings(
        eyebrow="Evaluation",
        title=f"How good are the masks of {Path(str(metrics.get('checkpoint', 'the model'))).name}?",
        story=story(tiles, instances),
        facts=facts,
        tiles=tiles,
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
        path = given or (place(with_environment(str(dataset[key]))) if dataset.get(key) else None)
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
