"""What a data set holds, before anything is done with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from mal.coco.boxes import Boxes, box_suspicion
from mal.data.images import image_path
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Findings:
    """Counts of a data set.

    Attributes:
        boxes: all boxes that can be labeled.
        num_images: pictures in the file.
        num_classes: classes that have boxes.
        num_masks: annotations with a mask already.
        missing: names of pictures with boxes that are not there.
        num_boxes_missing: boxes of those.
        same_stem: names of pictures that share their name up to the ending with another.
    """

    boxes: Boxes
    num_images: int
    num_classes: int
    num_masks: int
    missing: list[str]
    num_boxes_missing: int
    same_stem: list[str]

    def lines(self) -> Iterator[str]:
        """What was found, for the terminal."""
        yield f"found {len(self.boxes):,} boxes of {self.num_classes} classes in {self.num_images:,} pictures"
        if self.num_masks:
            yield f"{self.num_masks:,} of them have masks already, which are kept"
        if self.missing:
            yield (
                f"{len(self.missing):,} pictures are missing ({_some(self.missing)}): their {self.num_boxes_missing:,}"
                " boxes get no mask"
            )
        if self.same_stem:
            yield (
                f"pictures that differ only in the ending of their names ({_some(self.same_stem)}): masks.json has all,"
                " formats with a file for each picture only the first"
            )


def look_at(source: AnnotatedImages) -> Findings:
    """Count what a data set holds.

    Raises:
        UserError: it has no boxes, or none of the pictures with boxes is there.
    """
    boxes, coco = source.boxes_to_label, source.coco
    if not len(boxes):
        raise UserError(f"{coco.path}: there is no box in it to make a mask for")
    counts = Counter(boxes.image_rows.tolist())
    missing = [row for row in counts if not _is_there(source, coco.images.at(row).file_name)]
    names = [coco.images.at(row).file_name for row in missing]
    if len(missing) == len(counts):
        raise UserError(
            f"{source.img_dir}: none of the pictures ({_some(names)}) is there: say where they are with --images"
        )
    stems: dict[PurePosixPath, list[str]] = {}
    for image in coco.images.values():
        stems.setdefault(PurePosixPath(image.file_name).with_suffix(""), []).append(image.file_name)
    return Findings(
        boxes=boxes,
        num_images=len(coco.images),
        num_classes=len({coco.table.category_ids[position] for position in boxes.positions.tolist()}),
        num_masks=int(boxes.has_mask.sum()),
        missing=names,
        num_boxes_missing=sum(counts[row] for row in missing),
        same_stem=[name for shared in stems.values() if len(shared) > 1 for name in shared],
    )


def suspicion_line(source: AnnotatedImages) -> str | None:
    """A warning if the boxes look like another convention than x, y, width, height in pixels."""
    found = box_suspicion(source.coco)
    return str(found) if found else None


def boxes_of(source: AnnotatedImages, image_ids: set[object], *, inside: bool) -> Boxes:
    """The boxes of some pictures, or of all others; pictures that are not there are left out."""
    boxes = source.boxes_to_label
    images = {row: source.coco.images.at(row) for row in np.unique(boxes.image_rows).tolist()}
    rows = [
        row for row, image in images.items() if (image.id in image_ids) == inside and _is_there(source, image.file_name)
    ]
    return boxes.take(np.flatnonzero(np.isin(boxes.image_rows, rows)))


def _is_there(source: AnnotatedImages, name: str) -> bool:
    try:
        return image_path(source.img_dir, name).is_file()
    except UserError:  # a name that leads elsewhere
        return False


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}"
