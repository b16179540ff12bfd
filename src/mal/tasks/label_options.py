"""What ``mal label`` was asked to do; light, so that the command line can build it before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Xywh = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to label.

    Attributes:
        path: of the picture.
        boxes: left, top, width, height in pixels of the photo, one for each object.
        overlay: picture to write of the photo with its masks.
    """

    path: Path
    boxes: tuple[Xywh, ...]
    overlay: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOptions:
    """Either a COCO file (`ann`, `images`, `out`) or `photos` are labelled.

    Attributes:
        out: COCO file to write; with photos it may be None, then only the overlays are written.
        threshold: probability in 0..1 above which a pixel is in the mask, or ``box_fit``; None means the checkpoint's.
        min_part, fill_holes, allow_outside: as in the section ``masks`` of a spec; None means the checkpoint's.
        within_box: masks end where their box ends; False leaves that to the checkpoint.
        no_overlap: as in the section ``masks``.
        score: whether each mask gets a score.
        min_score: masks with a lower one are marked as doubtful; None marks none.
        network: which network's logits count; ``mixed`` is the mean of both.
        crf: refine each mask by the colours of its crop, as the checkpoint's training did.
        exif: boxes are on the pictures as they are stored, or as viewers turn them by their EXIF orientation.
        keep_existing_masks: label only annotations without a mask.
        overwrite: whether a finished ``out`` may be replaced.
        restart: whether what an unfinished run has done is thrown away.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:<index>`` or ``mps``.
    """

    checkpoint: Path
    ann: Path | None = None
    images: Path | None = None
    out: Path | None = None
    photos: tuple[Photo, ...] = ()
    threshold: float | Literal["box_fit"] | None = None
    min_part: float | None = None
    fill_holes: float | None = None
    allow_outside: float | None = None
    within_box: bool = False
    no_overlap: bool = False
    score: bool = True
    min_score: float | None = None
    network: Literal["student", "teacher", "mixed"] = "student"
    flip: bool = False
    crf: bool = False
    profile: Literal["exact", "fast"] = "exact"
    batch_size: int = 4
    num_workers: int = 2
    exif: Literal["stored", "upright"] = "stored"
    keep_existing_masks: bool = False
    overwrite: bool = False
    restart: bool = False
    device: str = "auto"
