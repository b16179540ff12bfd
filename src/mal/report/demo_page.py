"""The demo's page, with the curves of its training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mal.errors import UserError
from mal.masks.rle import Rle, mask_from_rle, rle_from_mask
from mal.metrics.iou import mask_iou
from mal.report.contact_sheet import contact_sheet
from mal.report.overlay import Pixels, draw_overlay
from mal.report.page import picture_uri, render

Points = list[tuple[float, float]]

POINTS_SHOWN = 400


@dataclass(frozen=True, slots=True)
class TrainingCurves:
    """Values by name (``train/loss``, ``val/mIoU``, ...), as points (step or epoch, value) from left to right.

    Attributes:
        unit: what is counted along the curves: "step" or "epoch".
        values: the points by name.
        folder: where they were logged.
    """

    unit: str
    values: dict[str, Points]
    folder: Path


def training_curves(folder: Path) -> TrainingCurves:
    """The curves of a training's results folder, from TensorBoard's files or, where there are none, ``status.json``.

    Raises:
        UserError: the folder holds neither.
    """
    values, unit = _from_events(folder / "tensorboard"), "step"
    if not values:
        values, unit = _from_status(folder / "status.json"), "epoch"
    if not values:
        raise UserError(f"{folder}: holds no curves of a training (no tensorboard/ and no epoch in status.json)")
    return TrainingCurves(unit, {name: _thinned(points) for name, points in values.items()}, folder)


def _from_events(folder: Path) -> dict[str, Points]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader  # slow to import
    from tensorboard.compat.proto.event_pb2 import SessionLog

    values: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            if event.session_log.status == SessionLog.START:  # a resumed run hides what it does again
                values = {name: {s: v for s, v in at.items() if s < event.step} for name, at in values.items()}
            for value in event.summary.value:
                if value.tensor.float_val:
                    values.setdefault(value.tag, {})[event.step] = value.tensor.float_val[0]
    return {name: sorted((step + 1.0, value) for step, value in at.items()) for name, at in values.items() if at}


def _from_status(path: Path) -> dict[str, Points]:
    values: dict[str, dict[float, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            entry = json.loads(line)
        except ValueError:  # the last line of a run that was killed
            continue
        words = entry["message"].split()
        if words[:1] == ["epoch"] and words[2:] == ["done"]:
            for name, value in entry.get("metrics", {}).items():
                if value is not None:
                    values.setdefault(name, {})[float(words[1])] = value
    return {name: sorted(at.items()) for name, at in values.items()}


def _thinned(points: Points) -> Points:
    """So many points as a chart can show, each the mean of its neighbours."""
    group = -(-len(points) // POINTS_SHOWN)
    parts = [points[start : start + group] for start in range(0, len(points), group)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


HEADING = "Masks from boxes alone"
DRAWN_WIDTH = 512  # pixels; smaller pictures are enlarged to it, so that outlines come out fine


@dataclass(frozen=True, slots=True)
class DemoCase:
    """One held-out picture: (H, W, 3) uint8 RGB, boxes (N, 4) in pixels, and N masks of each kind as COCO RLE."""

    name: str
    image: Pixels
    boxes_xyxy: NDArray[np.float64]
    before: Sequence[Rle]
    after: Sequence[Rle]
    truth: Sequence[Rle]


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """A real photo: its credit, (H, W, 3) uint8 RGB, boxes (N, 4) in pixels, and N masks as COCO RLE."""

    credit: str
    image: Pixels
    boxes_xyxy: NDArray[np.float64]
    masks: Sequence[Rle]


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What the demo did and reached; every mIoU is a mean over the held-out boxes, 0..1.

    starting_point ends the sentence "Training began from ..."; before_title names the masks of that starting point;
    which_pictures is a sentence that says how the pictures shown were chosen.
    """

    filled_box_miou: float
    ellipse_miou: float
    model_miou: float
    before_miou: float
    num_train_boxes: int
    num_train_images: int
    num_val_boxes: int
    num_val_images: int
    train_seconds: float
    starting_point: str
    before_title: str
    which_pictures: str


@dataclass(frozen=True, slots=True)
class DemoPagePaths:
    """Where the page and the contact sheet were written."""

    html: Path
    png: Path


def write_demo_page(
    out_dir: Path, cases: Sequence[DemoCase], summary: DemoSummary, photos: Sequence[LabelledPhoto] = ()
) -> DemoPagePaths:
    """Write `demo.html`, which holds all its pictures, and the contact sheet `demo.png` into `out_dir`."""
    out_dir.mkdir(parents=True, exist_ok=True)
    paths = DemoPagePaths(html=out_dir / "demo.html", png=out_dir / "demo.png")
    titles = ("Boxes, all that is given", summary.before_title, "After training", "Truth, for measuring only")
    panels = [_panels(case) for case in cases]
    notes = [_note(case, summary.before_title) for case in cases]
    page = render(
        "demo.html",
        title=HEADING,
        summary=_summary_text(summary),
        results=summary,
        gain=_gain(summary),
        cases=[
            _shown_case(case.name, shown, note, titles) for case, shown, note in zip(cases, panels, notes, strict=True)
        ],
        photos=[_shown_photo(photo) for photo in photos],
    )
    paths.html.write_text(page, encoding="utf-8")
    sheet = contact_sheet(panels, heading=HEADING, lines=_sheet_lines(summary), column_titles=titles, row_notes=notes)
    Image.fromarray(sheet).save(paths.png)
    return paths


def _summary_text(summary: DemoSummary) -> str:
    return (
        f"The network trained for {_duration(summary.train_seconds)} on {summary.num_train_boxes:,} boxes in "
        f"{summary.num_train_images:,} generated pictures and never saw a mask. Training began from "
        f"{summary.starting_point}. It then drew one mask for each of {summary.num_val_boxes:,} boxes in "
        f"{summary.num_val_images:,} pictures that were held out."
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.1f} minutes"


def _gain(summary: DemoSummary) -> str:
    best_guess = max(summary.filled_box_miou, summary.ellipse_miou)
    gain = f"{summary.model_miou - best_guess:+.3f} against the better of the two"
    return f"{gain}; {summary.before_title.lower()}: {summary.before_miou:.3f}"


def _sheet_lines(summary: DemoSummary) -> list[str]:
    return [
        f"mIoU over {summary.num_val_boxes:,} held-out boxes:  filled box {summary.filled_box_miou:.3f}   |   "
        f"inscribed ellipse {summary.ellipse_miou:.3f}   |   trained on boxes only {summary.model_miou:.3f}",
        summary.which_pictures,
    ]


def _panels(case: DemoCase) -> list[Pixels]:
    factor = max(1, round(DRAWN_WIDTH / case.image.shape[1]))
    height, width = case.image.shape[:2]
    size = (width * factor, height * factor)
    image = np.array(Image.fromarray(case.image).resize(size, Image.Resampling.LANCZOS))
    boxes = case.boxes_xyxy * factor
    drawings = [[_enlarged(rle, size) for rle in masks] for masks in (case.before, case.after, case.truth)]
    return [draw_overlay(image, [], boxes), *(draw_overlay(_muted(image), masks, []) for masks in drawings)]


def _muted(image: Pixels) -> Pixels:
    """The picture in soft greys, on which the colours of masks cannot be mistaken for its own."""
    gray = np.asarray(Image.fromarray(image).convert("L"), dtype=np.float32)
    return np.repeat(np.rint(40 + 0.7 * gray).astype(np.uint8)[..., None], 3, axis=2)


def _enlarged(rle: Rle, size: tuple[int, int]) -> Rle:
    """A mask brought to another size (width, height) with its stairs smoothed."""
    mask = Image.fromarray(mask_from_rle(rle).astype(np.uint8) * 255)
    return rle_from_mask(np.asarray(mask.resize(size, Image.Resampling.BICUBIC)) > 127)


def _note(case: DemoCase, before_title: str) -> str:
    before, after = _mean_iou(case.before, case.truth), _mean_iou(case.after, case.truth)
    return f"{case.name}: {len(case.truth)} objects, mIoU {before_title.lower()} {before:.2f}, after {after:.2f}"


def _mean_iou(masks: Sequence[Rle], truth: Sequence[Rle]) -> float:
    return float(np.mean([mask_iou(mask, true) for mask, true in zip(masks, truth, strict=True)]))


@dataclass(frozen=True, slots=True)
class _Panel:
    """A picture of the page as a data URI, and its size in pixels."""

    title: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _ShownCase:
    """A case as the page shows it."""

    name: str
    panels: Sequence[_Panel]
    note: str


def photo_panels(photo: LabelledPhoto) -> tuple[Pixels, Pixels]:
    """The photo with its boxes, and with its masks."""
    return draw_overlay(photo.image, [], photo.boxes_xyxy), draw_overlay(photo.image, photo.masks, [])


def _shown_photo(photo: LabelledPhoto) -> _ShownCase:
    count = len(photo.masks)
    note = f"{photo.credit}; {count} object{'' if count == 1 else 's'}"
    return _shown_case(photo.credit, photo_panels(photo), note, ("Boxes, all that is given", "Masks"))


def _shown_case(name: str, panels: Sequence[Pixels], note: str, titles: Sequence[str]) -> _ShownCase:
    shown = [
        _Panel(title, picture_uri(panel), panel.shape[1], panel.shape[0])
        for panel, title in zip(panels, titles, strict=True)
    ]
    return _ShownCase(name, shown, note)
