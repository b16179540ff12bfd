"""Label single photos with boxes from the command line: an overlay for each, and one COCO file for all."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mal.coco.box_conventions import suspicion
from mal.config.schema import ExperimentSpec
from mal.console import console
from mal.data.array_inputs import checked_boxes, visible_boxes
from mal.data.images import opened_picture, read_image
from mal.data.orientation import read_orientation
from mal.data.picture_file import Pixels
from mal.data.picture_remarks import OPTION, is_deep, is_dim, marked_upright
from mal.errors import BoxWarning, UserError
from mal.files import write_json
from mal.labeler import MaskAutoLabeler
from mal.labeling.shards import MaskLabel, reason_to_doubt
from mal.masks.postprocess import without_overlap
from mal.masks.rle import empty_rle, rle_area
from mal.models.prediction_mode import NO_NUMBER
from mal.reading import Reading
from mal.report.overlay import draw_overlay
from mal.tasks.photo import Photo, Xywh

_OUTSIDE = "lies outside the photo, no mask"


@dataclass(frozen=True, slots=True)
class LabeledPhoto:
    """The results of a photo.

    Attributes:
        photo: as given on the command line.
        size: width and height in pixels; None if the photo could not be read.
        labels: one for each box; None if it has no mask.
        reasons: for each box why it has no mask; empty if it has one.
    """

    photo: Photo
    size: tuple[int, int] | None
    labels: list[MaskLabel | None]
    reasons: list[str]


def label_photos(
    photos: Sequence[Photo],
    spec: ExperimentSpec,
    load: Callable[[], tuple[MaskAutoLabeler, ExperimentSpec]],
    *,
    out: Path | None,
    overwrite: bool,
) -> int:
    """Label one photo after the other; an unreadable one does not stop the others.

    Args:
        photos: at least one.
        spec: as the user gave it.
        load: returns the labeler, and the spec completed by its checkpoint.
        out: COCO file to write; None writes only the overlays.
        overwrite: whether ``out`` may be replaced.

    Returns:
        Exit code: 1 if a box has no mask, else 0.

    Raises:
        UserError: a file may not be written, or no photo can be read.
    """
    _check_outputs([Path(str(spec.inference.checkpoint)), *(photo.path for photo in photos)], photos, out, overwrite)
    labeler, spec = load()
    done = [_labeled(photo, labeler, spec, several=len(photos) > 1) for photo in photos]
    if not any(each.size for each in done):
        raise UserError(done[0].reasons[0])
    if out is not None:
        document = _coco_document(done, spec.inference.min_score)
        write_json(marked_upright(document) if spec.dataset.exif == "upright" else document, out)
        console.print(f"labels: {out}")
    return 0 if all(label for each in done for label in each.labels) else 1


def _check_outputs(inputs: Sequence[Path], photos: Sequence[Photo], out: Path | None, overwrite: bool) -> None:
    if out is not None and out.exists() and not overwrite:
        raise UserError(f"{out} exists already: replace it with --overwrite, or give another name")
    read = {path.resolve(): path for path in inputs}
    for path in (out, *(photo.overlay for photo in photos)):
        if path is not None and path.resolve() in read:
            raise UserError(f"{path} would be written over {read[path.resolve()]}: give it another name")


def _labeled(photo: Photo, labeler: MaskAutoLabeler, spec: ExperimentSpec, *, several: bool) -> LabeledPhoto:
    try:
        image = read_image(photo.path, spec.dataset.reading)
    except UserError as error:
        if several:
            console.print(f"failed: {error}")
        return LabeledPhoto(photo, None, [None] * len(photo.boxes), [str(error)] * len(photo.boxes))
    _warn_of_header(photo.path, image, spec.dataset.reading)
    suspected = suspicion(np.array(photo.boxes), np.array([image.shape[1::-1]] * len(photo.boxes)))
    if suspected is not None:
        console.print(f"warned: {photo.path}: {suspected}")
    labels, reasons = _labels(image, photo.boxes, labeler, spec)
    for number, (label, reason) in enumerate(zip(labels, reasons, strict=True), start=1):
        which = f"{photo.path}, box {number}" if several else f"box {number}"
        console.print(f"{which}: {_described(label, spec.inference.min_score) if label else reason}")
    height, width = image.shape[:2]
    rles = [label.rle if label else empty_rle(width, height) for label in labels]
    _save_picture(draw_overlay(image, rles, _xyxy(photo.boxes)), photo.overlay)
    console.print(f"overlay: {photo.overlay}")
    return LabeledPhoto(photo, (width, height), labels, reasons)


def _warn_of_header(path: Path, image: Pixels, reading: Reading) -> None:
    with opened_picture(path) as picture:
        orientation, deep = read_orientation(picture), is_deep(picture)
    if deep and is_dim(image, reading):
        console.print(f"warning: {path} uses less than a tenth of its 16 bits of grey and is nearly black; {OPTION}")
    if orientation == 1:
        return
    what = (
        "read turned, as viewers show it"
        if reading.exif == "upright"
        else "read as it is stored: boxes measured in a viewer lie elsewhere; --exif upright reads it as they do"
    )
    console.print(f"warning: {path} has EXIF orientation {orientation}, {what}")


def _labels(
    image: Pixels, boxes: Sequence[Xywh], labeler: MaskAutoLabeler, spec: ExperimentSpec
) -> tuple[list[MaskLabel | None], list[str]]:
    height, width = image.shape[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoxWarning)  # reported already, in the words of the options
        masks = labeler.label_instances(image, _xyxy(boxes), batch_size=spec.inference.batch_size)
    rles = [mask.rle() if mask else empty_rle(width, height) for mask in masks]
    if spec.masks.no_overlap:
        rles = without_overlap(rles, [-box_width * box_height for _, _, box_width, box_height in boxes])
    labels = [MaskLabel(rle, score=mask.score) if mask else None for mask, rle in zip(masks, rles, strict=True)]
    visible = {box.position for box in visible_boxes(checked_boxes(_xyxy(boxes)), width=width, height=height)}
    reasons = [f"no mask: {NO_NUMBER}" if at in visible else _OUTSIDE for at in range(len(boxes))]
    return labels, ["" if mask else reason for mask, reason in zip(masks, reasons, strict=True)]


def _xyxy(boxes: Sequence[Xywh]) -> list[list[float]]:
    return [[x, y, x + width, y + height] for x, y, width, height in boxes]


def _described(label: MaskLabel, min_score: float | None) -> str:
    score = "" if label.score is None else f", score {label.score:.2f}"
    reason = reason_to_doubt(label, min_score)
    return f"{rle_area(label.rle)} pixels{score}" + (f": doubtful, {reason}" if reason else "")


def _coco_document(done: Sequence[LabeledPhoto], min_score: float | None) -> dict[str, Any]:
    images = [
        {"id": number, "file_name": name, **_size(each)}
        for number, (each, name) in enumerate(zip(done, _names([each.photo.path for each in done]), strict=True), 1)
    ]
    boxes = [(image_id, box) for image_id, each in enumerate(done, 1) for box in _annotations(each, min_score)]
    return {
        "images": images,
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [{"id": number, "image_id": image_id, **box} for number, (image_id, box) in enumerate(boxes, 1)],
    }


def _names(paths: Sequence[Path]) -> list[str]:
    """The photos' paths, relative to their common folder."""
    absolute = [path.absolute() for path in paths]
    try:
        folder = os.path.commonpath([path.parent for path in absolute])
    except ValueError:  # Windows drives have no common folder
        return [path.as_posix() for path in absolute]
    return [path.relative_to(folder).as_posix() for path in absolute]


def _size(each: LabeledPhoto) -> dict[str, int]:
    return {"width": each.size[0], "height": each.size[1]} if each.size else {}


def _annotations(each: LabeledPhoto, min_score: float | None) -> Iterator[dict[str, Any]]:
    for box, label, failed in zip(each.photo.boxes, each.labels, each.reasons, strict=True):
        rle = label.rle if label else empty_rle(*each.size) if each.size else None
        score = {} if label is None or label.score is None else {"mask_score": label.score}
        yield {
            "category_id": 1,
            "bbox": list(box),
            "iscrowd": 0,
            **({"segmentation": rle, "area": rle_area(rle)} if rle else {}),
            **score,
            **_mark(label, failed, min_score),
        }


def _mark(label: MaskLabel | None, failed: str, min_score: float | None) -> dict[str, Any]:
    reason = failed or (reason_to_doubt(label, min_score) if label else "")
    return {"mal": {"status": "failed" if failed else "doubtful", "reason": reason}} if reason else {}


def _save_picture(pixels: np.ndarray, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: the overlay cannot be written ({error})") from error
