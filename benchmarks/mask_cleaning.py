"""What do the options for cleaner masks bring?

The study behind docs/cleaning.md, to be repeated with a network and photos of one's own:

    python -m benchmarks.postprocess_options mal_model_latest.pth --ann instances_val.json --images val/

Every way of making masks is asked for the same boxes, and its masks are compared with the true ones: mean IoU over
boxes, over classes, and boundary IoU over boxes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from benchmarks.report import environment
from mal.coco.boxes import Box
from mal.coco.ground_truth import GroundTruth
from mal.config.schema import ExperimentSpec
from mal.data.crops import expand_box
from mal.data.images import read_record_image
from mal.data.label_dataset import crop_boxes
from mal.data.loaders import AnnotatedImages
from mal.labeler import MaskAutoLabeler, whole
from mal.load_model import load_model
from mal.masks.postprocess import NO_POSTPROCESSING, PostprocessOptions, Thresholds, without_overlap
from mal.masks.rle import Rle
from mal.metrics.boundary import boundary
from mal.metrics.iou import mask_iou
from mal.models.from_spec import crop_settings, mean_field_settings
from mal.models.prediction_mode import PredictionMode

THRESHOLDS: tuple[Thresholds, ...] = (*((share / 10,) for share in range(1, 8)), "box_fit")
CLEANINGS = {
    "parts below a twentieth dropped": PostprocessOptions(min_part=0.05),
    "parts below a fifth dropped": PostprocessOptions(min_part=0.2),
    "only the largest part": PostprocessOptions(min_part=1),
    "holes up to a twentieth filled": PostprocessOptions(fill_holes=0.05),
    "all holes filled": PostprocessOptions(fill_holes=1),
    "both: 0.2 and 0.05": PostprocessOptions(min_part=0.2, fill_holes=0.05),
}
OUTSIDE = (0.0, 0.025, 0.05, 0.1)
PUBLIC_AND_FITTING: tuple[Thresholds, ...] = ((0.1,), "box_fit")
TIGHT = -0.05  # each side this share of the box further in


@dataclass(frozen=True)
class View:
    """Probabilities that the network is asked for.

    Attributes:
        name: for the table.
        mode: how the network is asked.
        grown: how far the sides of the boxes that it is given are moved outwards, as a share of the box's extent.
        allow_outside: as in the spec.
    """

    name: str
    mode: PredictionMode
    grown: float = 0.0
    allow_outside: float = 0.0


@dataclass(frozen=True)
class Way:
    """How masks are made of them.

    Attributes:
        name: for the table.
        thresholds: as of :class:`mal.MaskAutoLabeler`.
        cleaning: likewise.
        in_front: whose the contested pixels are: ``box`` (the smallest) or ``score`` (the highest); empty parts none.
    """

    name: str
    thresholds: Thresholds
    cleaning: PostprocessOptions = NO_POSTPROCESSING
    in_front: str = ""


@dataclass(frozen=True)
class Found:
    """A mask, and what decides whether it lies in front."""

    box: Box
    rle: Rle
    score: float


class Study:
    """Labels boxes in many ways and compares the masks with true ones."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.held = load_model(options.checkpoint, ExperimentSpec())
        self.batch_size = options.batch_size
        self.source = AnnotatedImages(options.ann, options.images)
        truth = GroundTruth(self.source.coco)
        rles = {box.position: truth.rle(box) for box in self.source.boxes_to_label}
        self.truth = {position: (rle, boundary(rle)) for position, rle in rles.items() if rle is not None}
        self.boxes = [box for box in self.source.boxes_to_label if box.position in self.truth]
        self.crf = mean_field_settings(self.held.spec)

    def lines(self, view: View, ways: Sequence[Way]) -> Iterator[str]:
        """A line of the table for each way."""
        masks: Mapping[Way, list[Found]] = {way: [] for way in ways}
        crop = replace(crop_settings(self.held.spec), allow_outside=view.allow_outside)
        held = self.held
        labeler = MaskAutoLabeler(held.student, held.teacher, crop=crop, thresholds=[0.5], mode=view.mode)
        for _, of_image in groupby(self.boxes, key=lambda box: box.image.position):
            boxes = [replace(box, xyxy=expand_box(box.xyxy, view.grown)) for box in of_image]
            image = read_record_image(self.source.img_dir, boxes[0].image)
            for start in range(0, len(boxes), self.batch_size):
                batch = crop_boxes(image, boxes[start : start + self.batch_size], crop)
                probs = labeler.probabilities(batch)
                for way in ways:
                    labeler.thresholds, labeler.cleaning = way.thresholds, way.cleaning
                    made = zip(batch.boxes, whole(labeler.pasted(batch, probs)), strict=True)
                    masks[way] += [Found(box, mask.rle(), mask.score or 0.0) for box, mask in made]
        for way in ways:
            yield f"| {view.name} | {way.name} | {self._means(_separated(masks[way], way.in_front))} |"

    def _means(self, found: Sequence[Found]) -> str:
        by_class: dict[str, list[float]] = {}
        boundaries = []
        for one in found:
            true, true_boundary = self.truth[one.box.position]
            by_class.setdefault(repr(one.box.category_id), []).append(mask_iou(one.rle, true))
            boundaries.append(mask_iou(boundary(one.rle), true_boundary))
        over_classes = float(np.mean([np.mean(ious) for ious in by_class.values()]))
        over_boxes = float(np.mean(np.concatenate(list(by_class.values()))))
        return " | ".join(f"{value:.4f}" for value in (over_boxes, over_classes, np.mean(boundaries)))


def _separated(found: Sequence[Found], in_front: str) -> list[Found]:
    """Without overlap, image by image."""
    if not in_front:
        return list(found)
    separated = []
    for _, group in groupby(found, key=lambda one: one.box.image.position):
        masks = list(group)
        priorities = [one.score if in_front == "score" else -one.box.area for one in masks]
        rles = without_overlap([one.rle for one in masks], priorities)
        separated += [replace(one, rle=rle) for one, rle in zip(masks, rles, strict=True)]
    return separated


def all_lines(study: Study) -> Iterator[str]:
    """The lines of the study's three tables."""
    crf = study.crf
    views = [
        View("student", PredictionMode()),
        View("teacher", PredictionMode("teacher")),
        View("mixed", PredictionMode("mixed")),
        View("student, flip", PredictionMode(flip=True)),
        View("mixed, flip", PredictionMode("mixed", flip=True)),
        View("student, CRF", PredictionMode(crf=crf)),
        View("mixed, flip, CRF", PredictionMode("mixed", flip=True, crf=crf)),
    ]
    yield from _heading("network and threshold")
    for view in views:
        yield from study.lines(view, [Way(_text(thresholds), thresholds) for thresholds in THRESHOLDS])
    yield from _heading("cleaning")
    for view in (views[0], views[-1]):
        for thresholds in PUBLIC_AND_FITTING:
            yield from study.lines(view, _cleaning_ways(thresholds))
    yield from _heading("boxes that are exact, and boxes whose sides lie a twentieth too far in")
    for name, grown in (("exact", 0.0), ("too tight", TIGHT)):
        for share in OUTSIDE:
            view = View(f"{name}, mask may leave by {share:g}", PredictionMode(), grown, share)
            yield from study.lines(view, [Way(_text(thresholds), thresholds) for thresholds in PUBLIC_AND_FITTING])


def _cleaning_ways(thresholds: Thresholds) -> list[Way]:
    text = _text(thresholds)
    return [
        Way(text, thresholds),
        *(Way(f"{text}, {name}", thresholds, cleaning) for name, cleaning in CLEANINGS.items()),
        Way(f"{text}, no overlap, smaller box in front", thresholds, in_front="box"),
        Way(f"{text}, no overlap, higher score in front", thresholds, in_front="score"),
    ]


def _heading(title: str) -> Iterator[str]:
    yield f"\n{title}\n"
    yield "| network | masks | over boxes | over classes | boundary IoU |"
    yield "|---|---|---|---|---|"


def _text(thresholds: Thresholds) -> str:
    return thresholds if isinstance(thresholds, str) else f"{thresholds[0]:g}"


def main() -> None:
    """Run the study on what the command line names."""
    options = _parse_arguments()
    study = Study(options)
    print(*(f"{key}: {value}" for key, value in environment().items()), f"boxes: {len(study.boxes)}", sep="\n")
    for line in all_lines(study):
        print(line, flush=True)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mask_cleaning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="of mal train")
    parser.add_argument("--ann", type=Path, required=True, help="COCO JSON file with masks")
    parser.add_argument("--images", type=Path, required=True, help="folder of its images")
    parser.add_argument("--batch-size", type=int, default=16)
    return parser.parse_args()


if __name__ == "__main__":
    main()
