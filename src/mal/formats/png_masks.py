"""Read and write PNG masks: one binary PNG per instance, one indexed PNG per image."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mal.coco import lazy_json
from mal.coco.coco_file import CocoFile, show
from mal.coco.lazy_json import JsonRecords
from mal.data.images import image_path, opened_picture
from mal.errors import UserError
from mal.files import write_json
from mal.formats.builder import CocoBuilder, carried, restored
from mal.formats.by_image import (
    NO_CLASSES,
    AnnotatedImage,
    Annotation,
    Json,
    by_image,
    category_records,
    strict,
    written,
)
from mal.formats.folders import ReadOptions, WriteOptions, whole_folder
from mal.formats.output_names import OutputNames, RefusedName
from mal.formats.tally import Tally
from mal.limits import MAX_MASK_PICTURE_PIXELS
from mal.masks.rle import Rle, mask_from_rle, rle_area, rle_from_mask

LEGEND = "legend.json"
_LARGEST_8_BIT = 255
_LARGEST_16_BIT = 65535


def write_png(coco: CocoFile, out: Path, options: WriteOptions, tally: Tally) -> None:
    """Write a folder with two pictures of the same masks, and a legend that holds all the rest.

    ``instances/<image>/<annotation>.png`` is 255 in the mask and 0 outside. ``indexed/<image>.png`` is 0 where no mask
    is, else the number of an instance, from 1 in the order of the file; 16 bit where an image has more than 255. Where
    masks overlap, the smaller one is seen. ``legend.json`` has every record with its value and its file.

    Raises:
        UserError: a record is broken and the tally may not skip it, two images would share a file, or the folder
            cannot be written.
    """
    with whole_folder(out) as folder:
        images: list[Json] = []
        taken = OutputNames(folder, [LEGEND])
        for item in by_image(coco, tally, options.images, max_pixels=MAX_MASK_PICTURE_PIXELS):
            with written(item, tally):
                images.append(_write_image(item, taken, tally))
        others = {key: value for key, value in coco.document.items() if key not in ("images", "annotations")}
        document = {key: list(value) if isinstance(value, JsonRecords) else value for key, value in others.items()}
        document["categories"] = category_records(coco)
        write_json({"document": strict(document, coco, tally), "images": images}, folder / LEGEND)
        tally.classes = len(coco.categories)


def read_png(path: Path, _: ReadOptions, tally: Tally) -> CocoFile:
    """Read a folder that `write_png` wrote, from its legend and the pictures of instances.

    Raises:
        UserError: the legend or a picture is missing or broken.
    """
    legend_path = path / LEGEND
    try:
        legend, _strict = lazy_json.loads(legend_path.read_bytes())
        document, images = dict(legend["document"]), list(legend["images"])
        builder = CocoBuilder()
        categories = list(document.pop("categories", ()))
        names = {show(record["id"]): str(record["name"]) for record in categories}
        builder.categories(categories)
        for item in images:
            record = dict(item["image"])
            size = (record.pop("width"), record.pop("height"))
            builder.image(record.pop("file_name"), size, record)
            _check_indexed(item, path, tally)
            for entry in item["annotations"]:
                name = names.get(show(entry["record"].get("category_id")), NO_CLASSES)
                builder.annotation(name, *_read_annotation(entry, path, size, tally))
    except UserError as error:
        raise UserError(f"{legend_path}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{legend_path} is not a legend of PNG masks as `mal convert` writes it: {error!r}") from error
    return builder.build(path, tally, document)


def _write_image(item: AnnotatedImage, taken: OutputNames, tally: Tally) -> Json:
    stem = item.file_name.with_suffix("")
    indexed_name = PurePosixPath("indexed", f"{stem}.png")
    indexed_path = taken.take_path(indexed_name, item.image.file_name)
    indexed: npt.NDArray[np.uint16] = np.zeros((item.image.height, item.image.width), np.uint16)
    masks: list[tuple[int, Annotation, Rle]] = []
    entries = []
    for number, annotation in enumerate(item.annotations):
        entry = carried(annotation, annotation.rle) | {"value": None, "file": None}
        if annotation.rle is not None:
            file = PurePosixPath("instances", stem, f"{_file_stem(annotation, number)}.png")
            try:
                path = taken.take_path(file, annotation.name)
            except RefusedName as refusal:
                tally.broken(f"{item.where}, {annotation.name}", str(refusal))
                continue
            Image.fromarray(np.where(mask_from_rle(annotation.rle), 255, 0).astype(np.uint8)).save(path)
            masks.append((len(masks) + 1, annotation, annotation.rle))
            entry |= {"value": len(masks), "file": file.as_posix()}
        entries.append(entry)
        tally.count(has_mask=annotation.rle is not None)
    if len(masks) > _LARGEST_16_BIT:
        raise UserError(f"{item.where} has {len(masks)} masks, more than a 16-bit picture has values")
    for value, _, rle in sorted(masks, key=lambda mask: -rle_area(mask[2])):
        indexed[mask_from_rle(rle)] = value
    seen = np.bincount(indexed.ravel(), minlength=len(masks) + 1)
    for value, annotation, rle in masks:
        if hidden := rle_area(rle) - int(seen[value]):
            tally.changed["pixels below a smaller mask are seen in instances/ only"].append(
                f"{annotation.name} of {item.image.file_name}: {hidden}"
            )
    is_small = len(masks) <= _LARGEST_8_BIT
    Image.fromarray(indexed.astype(np.uint8) if is_small else indexed).save(indexed_path)
    size = {"width": item.image.width, "height": item.image.height}
    return {
        "image": item.record | size,
        "indexed": indexed_name.as_posix(),
        "indexed_digest": _digest(indexed),
        "annotations": entries,
    }


def _digest(indexed: npt.NDArray[np.uint16]) -> str:
    return hashlib.sha256(indexed.astype("<u2").tobytes()).hexdigest()


def _file_stem(annotation: Annotation, number: int) -> str:
    annotation_id = annotation.record.get("id")
    return str(annotation_id) if type(annotation_id) is int else f"at-{number}"


def _check_indexed(item: Json, folder: Path, tally: Tally) -> None:
    """Warn if the indexed PNG, which is not read, was edited."""
    path = image_path(folder, item["indexed"])
    if not path.is_file():
        return
    size = (item["image"]["width"], item["image"]["height"])
    pixels = _pixels_of_size(path, size)
    if pixels is None or _digest(pixels) != item.get("indexed_digest"):
        tally.changed["the picture was edited, but only those in instances/ are read"].append(item["indexed"])


def _read_annotation(entry: Json, folder: Path, size: tuple[int, int], tally: Tally) -> tuple[list[float], Json]:
    if entry["file"] is None:
        record = dict(entry["record"])
        return record.pop("bbox"), record
    pixels = _pixels_of_size(image_path(folder, entry["file"]), size)
    if pixels is None:
        raise ValueError(f"{entry['file']} has another size than its image, {size[0]} x {size[1]}")
    return restored(entry, rle_from_mask(pixels > 0), entry["file"], tally)


def _pixels_of_size(path: Path, size: tuple[int, int]) -> npt.NDArray[Any] | None:
    """The pixels of a picture; None, and nothing decoded, where it has another width and height."""
    with opened_picture(path) as picture:
        return np.asarray(picture) if picture.size == size else None
