"""Registry of formats by name: the reader and writer of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mal.coco.coco_file import CocoFile, read_coco
from mal.errors import UserError
from mal.formats.coco_out import write_coco
from mal.formats.csv_boxes import read_csv
from mal.formats.cvat import write_cvat
from mal.formats.cvat_in import read_cvat, read_cvat_xml
from mal.formats.folders import ReadOptions, WriteOptions
from mal.formats.label_studio import write_label_studio
from mal.formats.label_studio_in import read_label_studio
from mal.formats.labelme import write_labelme
from mal.formats.labelme_in import read_labelme
from mal.formats.png_masks import read_png, write_png
from mal.formats.recognize import coco_file_in
from mal.formats.tally import Tally
from mal.formats.turned import in_frame_of
from mal.formats.voc import read_voc
from mal.formats.yolo_in import read_yolo
from mal.formats.yolo_out import write_yolo
from mal.reading import Exif

Writer = Callable[[CocoFile, Path, WriteOptions, Tally], None]

WRITERS: dict[str, Writer] = {
    "coco": write_coco,
    "yolo": partial(write_yolo, kind="yolo"),
    "yolo-seg": partial(write_yolo, kind="yolo-seg"),
    "png": write_png,
    "labelme": write_labelme,
    "label-studio": write_label_studio,
    "cvat": write_cvat,
}
WITH_MASKS = {"yolo": "yolo-seg", "cvat-xml": "cvat"} | {name: name for name in WRITERS if name not in ("yolo", "coco")}
"""The format to write masks in for boxes that came in a format; Pascal VOC and tables have none."""
_FILE_OUTPUTS = {".json": "coco", ".zip": "cvat"}


def read(path: Path, name: str, options: ReadOptions, tally: Tally) -> tuple[CocoFile, Path | None]:
    """Read annotations.

    Args:
        path: a file or folder.
        name: of the format, as `mal.formats.recognize.input_format` gives it.
        options: how.
        tally: notes what cannot be used.

    Returns:
        The file, and the folder of the pictures if it is known.

    Raises:
        UserError: it cannot be read; the file, and mostly the line, is named.
    """
    if name in ("yolo", "yolo-seg"):
        return read_yolo(path, options, tally)
    if name == "voc":
        return read_voc(path, options, tally)
    if name == "csv":
        return read_csv(path, options, tally)
    if name == "coco":
        file = coco_file_in(path) if path.is_dir() else path
        return read_coco(file), options.images or (file.parent if path.is_dir() else None)
    readers = {
        "png": read_png,
        "labelme": read_labelme,
        "label-studio": read_label_studio,
        "cvat": read_cvat,
        "cvat-xml": read_cvat_xml,
    }
    return readers[name](path, options, tally), options.images


@dataclass(frozen=True, slots=True)
class Annotations:
    """What was read.

    Attributes:
        coco: the file.
        format: that it came in.
        images: folder of the pictures; None where it is not known.
        exif: what boxes are on in formats that do not say it.
    """

    coco: CocoFile
    format: str
    images: Path | None
    exif: Exif

    def turned_for(
        self, target_format: str, tally: Tally, *, looked_at: Path | None, keep_polygons: bool = False
    ) -> tuple[CocoFile, list[str]]:
        """The file as another format has it: on pictures as stored, or as viewers turn them.

        Args:
            target_format: the other format.
            tally: notes what was turned.
            looked_at: folder in which pictures are found, if they are there at all.
            keep_polygons: see `mal.formats.turned.in_frame`.

        Returns:
            The file, and at most one line on pictures that nobody has looked at.
        """
        return in_frame_of(
            target_format,
            self.coco,
            source_format=self.format,
            images=self.images,
            looked_at=looked_at,
            exif=self.exif,
            tally=tally,
            keep_polygons=keep_polygons,
        )


def read_something(path: Path, name: str, options: ReadOptions, tally: Tally) -> Annotations:
    """As `read`, and refuse a source without readable content.

    Raises:
        UserError: also where no image, or none of the annotations, could be read; the message names what was left out.
    """
    coco, images = read(path, name, options, tally)
    left_out = "; ".join(tally.left_out_lines())
    reasons = f" (left out, {left_out})" if left_out else ""
    if not coco.document["images"]:
        raise UserError(f"{path}: no image was read{reasons}: nothing is written")
    if not len(coco.table) and left_out:
        raise UserError(f"{path}: no box and no mask was read{reasons}: nothing is written")
    return Annotations(coco, name, images, options.exif)


def output_format(path: Path) -> str:
    """Choose the output format by the extension of the file name.

    Raises:
        UserError: the ending says nothing.
    """
    name = _FILE_OUTPUTS.get(path.suffix.lower())
    if name is None:
        raise UserError(f"{path}: the name does not tell the format; say it with --to ({', '.join(WRITERS)})")
    return name
