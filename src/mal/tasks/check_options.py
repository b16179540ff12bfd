"""What ``mal check`` was asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mal.reading import AS_STORED, Reading

Use = Literal["training", "validation", "labelling"]


@dataclass(frozen=True, slots=True)
class CheckSource:
    """An annotation file with its images.

    Attributes:
        annotations: path or URL of the COCO file.
        images: path or URL of the folder.
        uses: what a run would do with it.
        keep_existing_masks: whether labelling leaves annotations that have a mask as they are.
        reading: how the pictures are read, so what boxes and masks are on.
        training_sizes: ``dataset.min_obj_size`` and ``max_obj_size`` in square pixels, where it is trained on.
    """

    annotations: str
    images: str
    uses: tuple[Use, ...]
    keep_existing_masks: bool = False
    reading: Reading = AS_STORED
    training_sizes: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """Options of ``mal check``.

    Attributes:
        sources: what to check.
        deep: decode pictures and masks.
        as_json: print JSON in place of tables.
        out: file for the JSON.
        limit: annotations or images to name for each kind of finding.
    """

    sources: tuple[CheckSource, ...]
    deep: bool = False
    as_json: bool = False
    out: Path | None = None
    limit: int = 5
