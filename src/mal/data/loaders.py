"""Load and check the annotation file of a run; build the loader of crops of its boxes."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mal.coco.boxes import Boxes, select_boxes, training_boxes
from mal.coco.coco_file import CocoFile, read_coco
from mal.coco.notes import RecordNote
from mal.coco.statistics import explain_empty_training_set
from mal.data.crop_loader import CropLoader
from mal.data.images import fill_missing_sizes, image_path
from mal.data.label_dataset import BoxCropIterable, CropSettings
from mal.data.near_names import near_hint
from mal.data.picture_remarks import (
    TurnedPicture,
    dim_line,
    set_reading,
    turned_line,
    turned_pictures,
    upright_sizes,
)
from mal.errors import UserError
from mal.paths import to_path
from mal.reading import AS_STORED, Reading


class AnnotatedImages:
    """An annotation file with its folder of images.

    Args:
        ann_path: COCO file, or its URL.
        img_dir: folder of the images, or its URL.
        reading: how the pictures are read, so what boxes and masks go by; a label file that was made of turned pictures
            says so itself.

    Attributes:
        coco: the file.
        img_dir: the folder.
        notes: what reading it has already found.

    Raises:
        UserError: the file is no COCO file.
    """

    def __init__(self, ann_path: str | Path, img_dir: str | Path, *, reading: Reading = AS_STORED) -> None:
        self.coco: CocoFile = read_coco(to_path(ann_path))
        self.img_dir = to_path(img_dir)
        set_reading(self.coco, reading)
        self.notes: list[RecordNote] = [
            *self.coco.notes,
            *(upright_sizes(self.coco, self._turned) if self.coco.images.exif == "upright" else []),
            *fill_missing_sizes(self.coco, self.img_dir),
        ]

    @cached_property
    def _turned(self) -> dict[int, TurnedPicture]:
        return turned_pictures(self.coco.images, self.img_dir)

    def turned_line(self, option: str = "dataset.exif=upright") -> str | None:
        """One line on images with an EXIF orientation, see `mal.data.picture_remarks.turned_line`; None without any."""
        return turned_line(self.coco.images, self._turned, option)

    def dim_line(self) -> str | None:
        """One line on 16-bit images that are nearly black over the full range; None without any."""
        return dim_line(self.coco.images, self.img_dir)

    @cached_property
    def boxes_to_label(self) -> Boxes:
        """All boxes that can be labeled; the others are in ``notes``."""
        boxes, notes = select_boxes(self.coco)
        self.notes += notes
        return boxes

    def boxes_to_train_on(self, *, min_obj_size: float, max_obj_size: float) -> Boxes:
        """The boxes to train on; what was left out is in ``notes``.

        Raises:
            UserError: no box is left, or an image is missing.
        """
        boxes, notes = training_boxes(self.coco, min_obj_size=min_obj_size, max_obj_size=max_obj_size)
        self.notes += notes
        if not boxes:
            found, notes = select_boxes(self.coco)
            reason = explain_empty_training_set(
                self.coco, found, notes, min_obj_size=min_obj_size, max_obj_size=max_obj_size
            )
            raise UserError(reason)
        self._require_images(boxes)
        return boxes

    def _require_images(self, boxes: Boxes) -> None:
        names = {image.file_name for image in boxes.images}
        missing = sorted(name for name in names if not image_path(self.img_dir, name).is_file())
        if missing:
            raise UserError(
                f"{self.img_dir}: {len(missing)} of {len(names)} images named in {self.coco.path} are missing,"
                f" for instance {missing[0]}{near_hint(image_path(self.img_dir, missing[0]))}"
            )


def crop_loader(
    boxes: Boxes,
    img_dir: Path,
    settings: CropSettings,
    *,
    batch_size: int,
    num_workers: int,
    rank: int = 0,
    world_size: int = 1,
    done: npt.NDArray[np.bool_] | None = None,
    chunks: Collection[int] | None = None,
) -> CropLoader:
    """Loader of crops for labeling; see :class:`BoxCropIterable`."""
    stream = BoxCropIterable(
        boxes,
        img_dir,
        settings,
        batch_size=batch_size,
        rank=rank,
        world_size=world_size,
        done=done,
        chunks=chunks,
    )
    return CropLoader(stream, num_workers=num_workers)
