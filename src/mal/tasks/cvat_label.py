"""`mal cvat label`: the rectangles of a task on a CVAT server become masks there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mal.config.schema import ExperimentSpec
from mal.console import console, task_progress
from mal.data.array_inputs import checked_boxes
from mal.errors import BoxWarning, UserError
from mal.integrations.cvat_server import Credentials, CvatTask, Shapes, open_task
from mal.integrations.cvat_shapes import Rectangle, having_a_mask
from mal.labeler import MaskAutoLabeler
from mal.masks.paste import PastedMask
from mal.tasks.label import load_labeler


@dataclass(frozen=True, slots=True)
class CvatLabelOptions:
    """Options of the command.

    Attributes:
        spec: made from the command line, with the checkpoint.
        device: as of ``mal label``.
        url: of the server.
        credentials: for it.
        number: of the task.
        organization: that the task belongs to; None for the user's own.
        replace: whether rectangles that have a mask are removed.
        dry_run: whether to tell only what would be done.
    """

    spec: ExperimentSpec
    device: str
    url: str
    credentials: Credentials
    number: int
    organization: str | None = None
    replace: bool = False
    dry_run: bool = False


def run(options: CvatLabelOptions) -> int:
    """Add a mask for each rectangle that has none; each frame is written by itself, so that a new run goes on.

    Returns:
        Exit code: 1 if a rectangle got no mask, else 0.

    Raises:
        UserError: the server, the task or the checkpoint cannot be used.
    """
    with open_task(options.url, options.credentials, options.number, options.organization) as task:
        found = task.shapes()
        done = having_a_mask(found.rectangles, found.outlines)
        left = [rectangle for rectangle in found.rectangles if rectangle.id not in done]
        _tell(task, options, found, done)
        task.require_labels_for_masks(left)
        if options.dry_run:
            return 0
        made = _label(task, left, options) if left else set()
        if options.replace:
            task.remove(done | made)
            console.print(f"{len(done | made):,} rectangles are removed")
        return 0 if len(made) == len(left) else 1


def _tell(task: CvatTask, options: CvatLabelOptions, found: Shapes, done: set[int]) -> None:
    console.print(
        f"task {options.number} ({task.name}): {len(found.rectangles):,} rectangles on {task.num_frames:,} frames;"
        f" {len(done):,} have a mask or a polygon already"
    )
    if found.num_tracks:
        console.print(f"{found.num_tracks:,} tracks are left out: export the task, and use mal label")
    if options.dry_run:
        removed = f", and all {len(found.rectangles):,} rectangles be removed" if options.replace else ""
        console.print(f"{len(found.rectangles) - len(done):,} masks would be added{removed}; nothing is changed")


def _label(task: CvatTask, left: Sequence[Rectangle], options: CvatLabelOptions) -> set[int]:
    """Add the masks; returns the ids of the rectangles that got one."""
    labeler, spec = load_labeler(options.spec, options.device)
    made: set[int] = set()
    with task_progress("masks", len(left)) as progress:
        for frame, rectangles in _by_frame(left):
            try:
                masks = _masks(task, frame, rectangles, labeler, spec.inference.batch_size)
            except UserError as error:
                console.print(f"frame {frame} gets no masks: {error}")
                masks = []
            if masks:
                task.add_masks(masks)
            made |= {rectangle.id for rectangle, _ in masks}
            progress.advance(len(rectangles))
    console.print(f"{len(made):,} masks are added, {len(left) - len(made):,} rectangles got none")
    return made


def _by_frame(rectangles: Sequence[Rectangle]) -> Iterator[tuple[int, list[Rectangle]]]:
    frames: dict[int, list[Rectangle]] = {}
    for rectangle in rectangles:
        frames.setdefault(rectangle.frame, []).append(rectangle)
    return iter(sorted(frames.items()))


def _masks(
    task: CvatTask, frame: int, rectangles: Sequence[Rectangle], labeler: MaskAutoLabeler, batch_size: int
) -> list[tuple[Rectangle, PastedMask]]:
    """The masks of a frame that are not empty.

    Raises:
        UserError: the frame cannot be read.
    """
    whole = [rectangle for rectangle in rectangles if _is_whole(rectangle)]
    pixels = task.frame(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoxWarning)  # CVAT's boxes are corners in pixels
        found = labeler.label_instances(pixels, [each.xyxy for each in whole], batch_size=batch_size)
    masks = [
        (rectangle, mask)
        for rectangle, mask in zip(whole, found, strict=True)
        if mask is not None and mask.window.any()
    ]
    without = {rectangle.id for rectangle in rectangles} - {rectangle.id for rectangle, _ in masks}
    for number in sorted(without):
        console.print(f"frame {frame}, rectangle {number} has no mask: it is empty, or lies outside the frame")
    return masks


def _is_whole(rectangle: Rectangle) -> bool:
    try:
        checked_boxes([rectangle.xyxy])
    except ValueError:
        return False
    return True
