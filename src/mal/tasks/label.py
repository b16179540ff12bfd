"""``mal label``: masks without a spec, for a COCO file or for single photos."""

from __future__ import annotations

from dataclasses import fields
from functools import cache, partial
from typing import Any

import torch

from mal.console import tell
from mal.data.datamodule import AnnotatedImages
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler, best_device
from mal.labelling.label_file import check_output_path
from mal.labelling.run_identity import run_identity
from mal.labelling.smaller_in_front import smaller_in_front
from mal.models.predict import PredictionMode
from mal.tasks.crop_run import alone
from mal.tasks.label_job import LabelJob, label_here, run_job
from mal.tasks.label_options import LabelOptions
from mal.tasks.label_photos import label_photos

_PLACES = {"checkpoint", "ann", "images", "out", "photos"}
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
    return label_photos(options, partial(_labeler, options)) if options.photos else _label_file(options)


def _label_file(options: LabelOptions) -> int:
    assert options.ann
    assert options.images
    assert options.out
    source = AnnotatedImages(options.ann, options.images, exif=options.exif)
    tell(partial(source.turned_line, "--exif upright"))
    job = LabelJob(
        source=source,
        output=options.out,
        report=options.out.with_name(f"{options.out.stem}_report.json"),
        skipped=options.out.with_name(f"{options.out.stem}_skipped.csv"),
        shards=options.out.with_name(f"{options.out.stem}_shards"),
        identity=cache(partial(run_identity, options.checkpoint, source.coco.path, source.img_dir, _settings(options))),
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


def _device(name: str) -> str:
    if name == "auto":
        return best_device()
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {name}: no CUDA device here; use --device cpu")
    if name == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: not available here; use --device cpu")
    return name
