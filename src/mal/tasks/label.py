"""``mal label``: masks without a spec, for a COCO file or for one photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mal.console import console
from mal.data.datamodule import AnnotatedImages
from mal.data.images import read_image
from mal.data.json_out import write_json
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler, best_device
from mal.labelling.label import Label, reason_to_doubt
from mal.labelling.label_file import check_output_path
from mal.labelling.run_identity import run_identity
from mal.labelling.smaller_in_front import smaller_in_front
from mal.masks.overlap import without_overlap
from mal.masks.rle import empty_rle, rle_area
from mal.models.predict import PredictionMode
from mal.report.overlay import draw_overlay
from mal.tasks.crop_run import alone
from mal.tasks.label_job import LabelJob, label_here, run_job
from mal.tasks.label_options import LabelOptions

_PLACES = {"checkpoint", "ann", "images", "out", "image", "boxes", "overlay"}
_LEAVES_MASKS_ALONE = _PLACES | {"num_workers", "device", "overwrite", "restart", "min_score"}


def run(options: LabelOptions) -> int:
    """Label as the options say.

    Returns:
        Exit code: 0 when every box that should have a mask got one, else 1.

    Raises:
        UserError: the input does not allow labelling; one line says what to do.
    """
    if options.out is not None and options.ann is not None:
        check_output_path(options.ann, options.out)
    return _label_photo(options) if options.image else _label_file(options)


def _label_file(options: LabelOptions) -> int:
    assert options.ann
    assert options.images
    assert options.out
    source = AnnotatedImages(options.ann, options.images)
    job = LabelJob(
        source=source,
        output=options.out,
        report=options.out.with_name(f"{options.out.stem}_report.json"),
        skipped=options.out.with_name(f"{options.out.stem}_skipped.csv"),
        shards=options.out.with_name(f"{options.out.stem}_shards"),
        identity=partial(run_identity, options.checkpoint, source.coco.path, source.img_dir, _settings(options)),
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        keep_existing_masks=options.keep_existing_masks,
        min_score=options.min_score,
        overwrite=options.overwrite,
        restart=options.restart,
        resolve=smaller_in_front(source) if options.no_overlap else None,
    )
    processes = alone()
    return run_job(job, processes, label_here(partial(_labeler, options), processes))


def _settings(options: LabelOptions) -> dict[str, Any]:
    """What changes the masks, by the name of its option."""
    names = [field.name for field in fields(options) if field.name not in _LEAVES_MASKS_ALONE]
    return {f"--{name.replace('_', '-')}": getattr(options, name) for name in names}


def _labeler(options: LabelOptions) -> MaskAutoLabeler:
    return MaskAutoLabeler.from_checkpoint(
        options.checkpoint,
        mode=PredictionMode(network=options.network, flip=options.flip, profile=options.profile),
        threshold=options.threshold,
        min_part=options.min_part,
        fill_holes=options.fill_holes,
        allow_outside=options.allow_outside,
        within_box=options.within_box or None,
        crf=options.crf,
        scored=options.score,
        device=_device(options.device),
    )


def _label_photo(options: LabelOptions) -> int:
    assert options.image
    assert options.overlay
    if options.out is not None and options.out.exists() and not options.overwrite:
        raise UserError(f"{options.out} exists already: replace it with --overwrite, or give another name")
    labeler = _labeler(options)
    image = read_image(options.image)
    boxes = [[x, y, x + width, y + height] for x, y, width, height in options.boxes]
    masks = labeler.label_instances(image, boxes, batch_size=options.batch_size)
    height, width = image.shape[:2]
    rles = [mask.rle() if mask else empty_rle(width, height) for mask in masks]
    if options.no_overlap:
        rles = without_overlap(rles, [-box_width * box_height for _, _, box_width, box_height in options.boxes])
    labels = [Label(rle, score=mask.score if mask else None) for mask, rle in zip(masks, rles, strict=True)]
    for number, (mask, label) in enumerate(zip(masks, labels, strict=True), start=1):
        outcome = _described(label, options.min_score) if mask else "lies outside the photo, no mask"
        console.print(f"box {number}: {outcome}")
    _save_picture(draw_overlay(image, rles, boxes), options.overlay)
    console.print(f"overlay: {options.overlay}")
    if options.out is not None:
        write_json(_coco_document(options, (width, height), labels), options.out)
        console.print(f"labels: {options.out}")
    return 0 if all(masks) else 1


def _described(label: Label, min_score: float | None) -> str:
    score = "" if label.score is None else f", score {label.score:.2f}"
    reason = reason_to_doubt(label, min_score)
    return f"{rle_area(label.rle)} pixels{score}" + (f": doubtful, {reason}" if reason else "")


def _coco_document(options: LabelOptions, size: tuple[int, int], labels: Sequence[Label]) -> dict[str, Any]:
    assert options.image
    width, height = size
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": 1,
            "bbox": list(box),
            "iscrowd": 0,
            "segmentation": label.rle,
            "area": rle_area(label.rle),
            **_judgement(label, options.min_score),
        }
        for number, (box, label) in enumerate(zip(options.boxes, labels, strict=True), start=1)
    ]
    return {
        "images": [{"id": 1, "file_name": options.image.name, "width": width, "height": height}],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": annotations,
    }


def _judgement(label: Label, min_score: float | None) -> dict[str, Any]:
    score = {} if label.score is None else {"mask_score": label.score}
    reason = reason_to_doubt(label, min_score)
    return score | ({"mal": {"status": "doubtful", "reason": reason}} if reason else {})


def _save_picture(pixels: np.ndarray, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: the overlay cannot be written ({error})") from error


def _device(name: str) -> str:
    if name == "auto":
        return best_device()
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {name}: no CUDA device here; use --device cpu")
    if name == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: not available here; use --device cpu")
    return name
