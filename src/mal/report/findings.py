"""All that a report is made from, whether it came from an evaluation or from a label file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mal.masks.rle import Rle
from mal.report.instances import Instances
from mal.report.training_curves import TrainingCurves

MaskPair = tuple[Rle | None, Rle | None]
"""A predicted mask and the true one, at the size of the image; None where there is none."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure of 0..1 at the head of the page.

    Attributes:
        name: what it is.
        value: of the model, or of the labels.
        interval: where it lies by the bootstrap, low and high.
        others: the same figure of other methods, by their names.
        note: a few words on what it says.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    others: Sequence[tuple[str, float]] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """Masks and what is known of them.

    Attributes:
        eyebrow: what kind of report this is, in two words.
        title: the head line.
        story: what was found, in a few sentences.
        facts: files and counts by name.
        tiles: figures.
        instances: the masks.
        img_dir: folder of their images.
        masks: the masks of a row of ``instances``.
        box_noise: what `mal evaluate --box-noise` found, as its file has it; None without.
        curves: of the training; None where it is not known.
    """

    eyebrow: str
    title: str
    story: str
    facts: Sequence[tuple[str, str]]
    tiles: Sequence[Tile]
    instances: Instances
    img_dir: Path
    masks: Callable[[int], MaskPair]
    box_noise: dict[str, Any] | None = None
    curves: TrainingCurves | None = None
