"""When is the mask of a graph cut better than that of the network that it started from?

The study behind `refine: auto` and behind the score of refined masks. For every network and set of boxes it makes both
masks of each box, compares them with the true one, and keeps what might tell which is better: a file for each network
and set in FOLDER. A file that is there is not made again, so a stopped study goes on. Then it prints tables, and the
numbers of `mal.masks.refine_choice` and of refined masks in `mal.masks.score`, fitted on all files of FOLDER:

    python -m benchmarks.refine_choice FOLDER --checkpoint one=first.pth two=second.pth --gray-scenes 24 \
        --ann coco-mini/annotations/instances_train.json --images coco-mini/images/train

Use boxes that no result is reported on. Gray, crowded scenes are drawn, since cuts do worst on such pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.gray_scenes import write_gray_scenes
from benchmarks.refine_choice_tables import (
    CANDIDATES,
    DRAWN,
    Cuts,
    choice_table,
    feature_table,
    fitted_text,
    score_table,
    set_table,
)
from mal.coco.boxes import Box
from mal.coco.ground_truth import GroundTruth
from mal.data.label_dataset import CropBatch
from mal.data.loaders import AnnotatedImages, crop_loader
from mal.labeler import MaskAutoLabeler
from mal.masks.paste import PastedMask, paste_mask, threshold_for
from mal.masks.refine import CropPixels, CutWindow
from mal.masks.refine_choice import choice_features
from mal.masks.rle import Rle
from mal.masks.score import mask_in_crop, score_features
from mal.metrics.iou import mask_iou


def write_cuts(checkpoint: Path, ann: Path, images: Path, out: Path, *, boxes: int) -> None:
    """Write the file of a network and a set; ``boxes`` of them at most, drawn at random."""
    labeler = MaskAutoLabeler.from_checkpoint(checkpoint, refine="none", scored=False, device="cpu")
    source = AnnotatedImages(ann, images)
    truth = GroundTruth(source.coco)
    drawn = source.boxes_to_label
    if boxes < len(drawn):
        drawn = drawn.take(np.sort(np.random.default_rng(0).permutation(len(drawn))[:boxes]))
    lines = []
    for batch in crop_loader(drawn, source.img_dir, labeler.crop, batch_size=8, num_workers=0):
        if len(batch):
            probs = labeler.probabilities(batch)[:, 0]
            lines += list(_of_batch(labeler, batch, probs, truth))
    Cuts.of_lines(lines).write(out)


def _of_batch(
    labeler: MaskAutoLabeler, batch: CropBatch, probs: npt.NDArray[np.float32], truth: GroundTruth
) -> Iterator[list[float]]:
    for index, (prob, box) in enumerate(zip(probs, batch.boxes, strict=True)):
        true = truth.rle(box)
        if true is None:
            continue
        if isinstance(labeler.thresholds, str):
            raise SystemExit("give checkpoints with fixed thresholds")
        pixels = CropPixels(batch.images[index], batch.box_mask[index, 0])
        yield of_box(prob, pixels, batch.frames[index], box, threshold_for(box.area, labeler.thresholds), true)


def of_box(
    prob: npt.NDArray[np.float32], pixels: CropPixels, frame: Sequence[int], box: Box, threshold: float, true: Rle
) -> list[float]:
    """One line of a file, see :class:`benchmarks.refine_choice_tables.Cuts`."""
    size = box.image.width, box.image.height
    window = CutWindow.of(prob, pixels, frame, size)
    cut = window.cut(threshold)
    masks = paste_mask(prob, frame, size, threshold), window.pasted(cut)
    ious = [mask_iou(mask.rle(), true) for mask in masks]
    features = astuple(choice_features(window, cut, threshold)) if window.inside.any() else (1.0, 0.0, 0.0, 0.0)
    others = [candidate(window, cut, threshold) for candidate in CANDIDATES.values()]
    return [*ious, float(box.image.position), *features, *others, *_score_features(masks, prob, pixels, frame)]


def _score_features(
    masks: Sequence[PastedMask], prob: npt.NDArray[np.float32], pixels: CropPixels, frame: Sequence[int]
) -> Iterator[float]:
    for mask in masks:
        yield from astuple(score_features(mask_in_crop(mask, frame), prob, pixels.image, pixels.box_mask))


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the files that are missing, and print the tables of all."""
    options = _parse_arguments(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    sets = [(ann.parent.parent.name, ann, images) for ann, images in zip(options.ann, options.images, strict=True)]
    if options.gray_scenes:
        sets.append((DRAWN, *write_gray_scenes(options.folder / DRAWN, options.gray_scenes, seed=0)))
    for network, checkpoint in options.checkpoint:
        for name, ann, images in sets:
            out = options.folder / f"{network}@{name}.npz"
            if not out.exists():
                write_cuts(checkpoint, ann, images, out, boxes=options.boxes)
    cuts = [Cuts.read(path) for path in sorted(options.folder.glob("*.npz"))]
    if not cuts:
        raise SystemExit(f"{options.folder}: holds no file yet; give --checkpoint with --ann and --images")
    for text in (feature_table(cuts), choice_table(cuts), set_table(cuts), score_table(cuts), fitted_text(cuts)):
        print(text, end="\n\n")


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.refine_choice",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="of the files of this study")
    parser.add_argument(
        "--checkpoint", type=_named, nargs="*", default=[], metavar="NAME=FILE", help="networks, of mal train"
    )
    parser.add_argument("--ann", type=Path, nargs="*", default=[], help="COCO JSON files with masks")
    parser.add_argument("--images", type=Path, nargs="*", default=[], help="the folder of the images of each")
    parser.add_argument("--boxes", type=int, default=300, help="so many of each set at most (default: %(default)s)")
    parser.add_argument("--gray-scenes", type=int, default=0, metavar="N", help="draw so many gray scenes as a set")
    return parser.parse_args(arguments)


def _named(text: str) -> tuple[str, Path]:
    name, sign, path = text.partition("=")
    if not sign or not name or "@" in name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE")
    return name, Path(path)


if __name__ == "__main__":
    main()
