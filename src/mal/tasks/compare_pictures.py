"""The pictures of a comparison: each chosen box with its true mask and the mask of every run."""

from __future__ import annotations

from collections.abc import Sequence

from mal.data.datamodule import AnnotatedImages
from mal.data.images import read_record_image
from mal.errors import UserError
from mal.masks.rle import Rle, rle_from_segmentation
from mal.metrics.matched_boxes import MatchedBoxes
from mal.places import place
from mal.report.compare_page import ComparedBox
from mal.report.mask_crop import crop_masks
from mal.tasks.compare_sources import MeasuredRun


def compared_boxes(
    runs: Sequence[MeasuredRun], matched: MatchedBoxes, rows: Sequence[int]
) -> tuple[dict[int, ComparedBox], list[str]]:
    """What the page shows of some matched boxes; pictures and true masks are those of the first run.

    Args:
        runs: what was compared.
        matched: their common boxes.
        rows: those that are wanted.

    Returns:
        Boxes by row, and why pictures are missing, where some are.
    """
    try:
        source = _source(runs[0])
        masks = _masks(runs, matched, rows)
    except UserError as error:
        return {}, [f"pictures: {error}"]
    by_image: dict[str, list[int]] = {}
    for row in rows:
        by_image.setdefault(runs[0].instances[matched.rows[row, 0]].file_name, []).append(row)
    boxes: dict[int, ComparedBox] = {}
    problems: list[str] = []
    for wanted in by_image.values():
        try:
            boxes |= _of_image(runs, matched, wanted, source, masks)
        except UserError as error:
            problems.append(str(error))
    return boxes, problems


def _source(run: MeasuredRun) -> AnnotatedImages:
    if not run.truth or not run.images:
        raise UserError(f"nobody knows where the pictures of {run.name} are; give --truth and --images")
    if not place(run.images).is_dir():
        raise UserError(f"{run.images}: no such folder; give the pictures of {run.name} with --images")
    return AnnotatedImages(run.truth, run.images, reading=run.reading)


def _masks(runs: Sequence[MeasuredRun], matched: MatchedBoxes, rows: Sequence[int]) -> list[dict[int, Rle]]:
    """For each run its masks by row."""
    found = []
    for number, run in enumerate(runs):
        positions = {row: run.instances[matched.rows[row, number]].annotation_index for row in rows}
        masks = run.masks(positions.values())
        found.append({row: masks[position] for row, position in positions.items() if position in masks})
    return found


def _of_image(
    runs: Sequence[MeasuredRun],
    matched: MatchedBoxes,
    rows: Sequence[int],
    source: AnnotatedImages,
    masks: Sequence[dict[int, Rle]],
) -> dict[int, ComparedBox]:
    """The boxes of one image, which is decoded once."""
    coco = source.coco
    positions = {row: runs[0].instances[matched.rows[row, 0]].annotation_index for row in rows}
    if max(positions.values()) >= len(coco.table):
        raise UserError(f"{coco.path}: holds fewer annotations than {runs[0].name} has; is it the right --truth?")
    image = coco.images.at(int(coco.table.image_rows[positions[rows[0]]]))
    picture = read_record_image(source.img_dir, image)
    found = {}
    for row in rows:
        boxes = [run.instances[each] for run, each in zip(runs, matched.rows[row].tolist(), strict=True)]
        try:
            truth = rle_from_segmentation(coco.annotations[positions[row]]["segmentation"], image.height, image.width)
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{coco.path}: annotation {boxes[0].annotation_id} has no readable mask ({error})"
            ) from error
        first = boxes[0]
        found[row] = ComparedBox(
            title=f"{first.category}, {first.size}",
            where=f"{first.file_name}, annotation {first.annotation_id}, box {first.w:.0f} x {first.h:.0f} pixels",
            ious=tuple(box.iou for box in boxes),
            crop=crop_masks(picture, (first.x, first.y, first.w, first.h), truth, [each.get(row) for each in masks]),
        )
    return found
