"""What `mal auto` is asked to do, and what it has done; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mal.reading import AS_STORED, Reading

Network = Literal["starter", "trained"]
MINUTES = 20.0


@dataclass(frozen=True, slots=True)
class AutoRequest:
    """A data set to label.

    Attributes:
        source: annotations in any format that is read.
        images: folder of the pictures; None finds them where the source says, or beside it.
        out: folder to write; None means ``<source>_masks`` beside the source.
        minutes: longest time of training; 0 labels at once.
        source_format: of the annotations; None recognizes it.
        target_format: to write the masks in beside COCO; None means that of the source, as far as it has masks.
        checkpoint: the network to start from; None means the starter of the package.
        reading: how pictures are read.
    """

    source: str
    images: str | None = None
    out: Path | None = None
    minutes: float = MINUTES
    source_format: str | None = None
    target_format: str | None = None
    checkpoint: Path | None = None
    reading: Reading = AS_STORED


@dataclass(frozen=True, slots=True)
class AutoResult:
    """The results of a run.

    Attributes:
        masks: the COCO file with the masks.
        converted: the same in another format; None where COCO came in, or the format has no place for masks.
        report: the page that shows which masks to trust; None if it could not be written.
        review: the masks to look at first, as a table; None if nothing says which.
        network: the network that the masks are of: the one that the run started from, or the one that it trained.
        refine: the value of ``inference.refine`` that was chosen; None where the checkpoint decides.
        exit_code: 0 if every box that should have a mask got one, else 1.
    """

    masks: Path
    converted: Path | None
    report: Path | None
    review: Path | None
    network: Network
    refine: str | None
    exit_code: int
