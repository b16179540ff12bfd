"""Write YOLO data sets: ``dataset.yaml`` and a text file of boxes, or of polygons, for each image."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

import yaml

from mal.data.coco import CocoFile
from mal.data.image_table import ImageRecord
from mal.formats.by_image import AnnotatedImage, Annotation, by_image, class_names, written
from mal.formats.options import WriteOptions
from mal.formats.output_names import OutputNames
from mal.formats.pictures import bring, source_picture
from mal.formats.tally import Tally
from mal.formats.whole_folder import whole_folder
from mal.masks.polygons import joined, polygons_from_rle

Kind = Literal["yolo", "yolo-seg"]

_KEPT = {"id", "image_id", "category_id", "bbox", "segmentation", "area", "iscrowd"}
_DECIMALS = 8  # of a share of the image: below a thousandth of a pixel at any size that images have


def write_yolo(coco: CocoFile, out: Path, options: WriteOptions, tally: Tally, kind: Kind) -> None:
    """Write a folder with ``dataset.yaml`` and ``labels/<split>/``; an image without annotations gets an empty file.

    Class numbers are places in the list of categories. "yolo" writes boxes, limited to the image; "yolo-seg" one
    polygon for each mask, whose parts and holes are joined by bridges (`mal.masks.polygons.joined`).

    Raises:
        UserError: a record is broken and the tally may not skip it, two images would share a file, or the folder
            cannot be written.
    """
    with whole_folder(out) as folder:
        taken = OutputNames(folder, ["dataset.yaml"])
        for item in by_image(coco, tally, options.images):
            with written(item, tally):
                _write_image(item, taken, options, tally, kind)
        names = class_names(coco)
        tally.classes = len(names)
        tally.lost["ids and other keys of classes"] += len(coco.categories)
        document = {"path": ".", options.split: f"images/{options.split}", "names": dict(enumerate(names))}
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        (folder / "dataset.yaml").write_text(text, encoding="utf-8")


def _write_image(item: AnnotatedImage, taken: OutputNames, options: WriteOptions, tally: Tally, kind: Kind) -> None:
    picture = PurePosixPath("images", options.split, item.file_name)
    path = taken.take_path(_label_of(picture), item.image.file_name)
    source = source_picture(item.file_name, options)
    if source is not None:
        bring(source, taken.take_path(picture, item.image.file_name), options)
    lines = (_line(annotation, item.image, tally, kind) for annotation in item.annotations)
    path.write_text("".join(f"{line}\n" for line in lines if line), encoding="utf-8")
    tally.lost["ids and other keys of images"] += 1


def _label_of(picture: PurePosixPath) -> PurePosixPath:
    """The text file of a picture as trainers look for it: the last folder ``images`` of its path becomes ``labels``."""
    parts = list(picture.parts)
    parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return PurePosixPath(*parts).with_suffix(".txt")


def _line(annotation: Annotation, image: ImageRecord, tally: Tally, kind: Kind) -> str | None:
    where = f"{annotation.name} of {image.file_name}"
    if annotation.is_group:
        tally.left_out["YOLO has no groups (iscrowd)"].append(where)
        return None
    numbers = (_box if kind == "yolo" else _polygon)(annotation, image, tally, where)
    if numbers is None:
        return None
    tally.count(has_mask=kind == "yolo-seg")
    tally.lost["ids of annotations"] += 1
    if annotation.rle is not None and kind == "yolo":
        tally.lost["masks (--to yolo-seg keeps them)"] += 1
    others = set(annotation.record) - _KEPT
    if others:
        tally.lost[f"other keys of annotations ({', '.join(sorted(others))})"] += 1
    return " ".join([str(annotation.class_row), *map(_number, numbers)])


def _box(annotation: Annotation, image: ImageRecord, tally: Tally, where: str) -> list[float] | None:
    x, y, width, height = annotation.xywh
    x0, x1 = max(x, 0.0), min(x + width, float(image.width))
    y0, y1 = max(y, 0.0), min(y + height, float(image.height))
    if x0 >= x1 or y0 >= y1:
        tally.left_out["the box lies outside the image"].append(where)
        return None
    if (x0, y0) != (x, y) or x1 < x + width or y1 < y + height:
        tally.changed["the box is limited to the image, as YOLO asks for"].append(where)
    center = (x0 + x1) / 2 / image.width, (y0 + y1) / 2 / image.height
    return [*center, (x1 - x0) / image.width, (y1 - y0) / image.height]


def _polygon(annotation: Annotation, image: ImageRecord, tally: Tally, where: str) -> list[float] | None:
    if annotation.rle is None:
        tally.left_out["no mask (--to yolo keeps the box)"].append(where)
        return None
    polygons = polygons_from_rle(annotation.rle)
    if not polygons:
        tally.left_out["the mask is empty"].append(where)
        return None
    tally.lost["boxes other than those around the masks"] += 1
    whole = joined(polygons)
    shares: list[float] = (whole / (image.width, image.height)).ravel().tolist()
    return shares


def _number(value: float) -> str:
    return f"{value:.{_DECIMALS}f}".rstrip("0").rstrip(".") or "0"
