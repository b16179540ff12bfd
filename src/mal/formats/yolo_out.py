"""Split images into train and val, and make the ``data.yaml`` of a YOLO data set."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml

from mal.bounded_yaml import load_yaml
from mal.coco.coco_file import CocoFile
from mal.coco.tables import ImageRecord
from mal.errors import UserError
from mal.formats.by_image import AnnotatedImage, Annotation, by_image, class_names, written
from mal.formats.folders import WriteOptions, bring, source_picture, whole_folder
from mal.formats.outlines import outline
from mal.formats.output_names import OutputNames, RefusedName, relative_name
from mal.formats.tally import Tally
from mal.formats.text_files import read_text_file

SPLITS = ("train", "val", "test")
DESCRIPTION = "data.yaml"  # the name that trainers, Roboflow and datumaro look for


def validation_images(names: Iterable[PurePosixPath], share: float) -> set[PurePosixPath]:
    """Choose validation images by a hash of their names, so that adding images does not move others.

    Args:
        names: of all images, without their endings, since labels go by those.
        share: of them, 0..1; above 0 at least one is chosen of two and more, and one is left.
    """
    by_hash = sorted((_hash(name), name) for name in set(names))
    chosen = {name for number, name in by_hash if number < share}
    if share > 0 and len(by_hash) > 1:
        chosen = (chosen | {by_hash[0][1]}) - {by_hash[-1][1]}
    return chosen


def description(names: list[str], splits: Iterable[str], out: Path) -> dict[str, Any]:
    """Make the content of ``data.yaml``: image folders by split, relative to the file, and class names by number.

    Trainers ask for ``train`` and ``val``: one that is not there names the pictures of another. There is no ``path``,
    since a relative one is taken from the folder that a trainer starts in.

    Args:
        names: of the classes.
        splits: that are written.
        out: the folder of output; splits that lie in it already are named too.

    Raises:
        UserError: those have other classes.
    """
    there = _own_description(out)
    if there is not None and there["names"] != dict(enumerate(names)):
        raise UserError(f"{out / DESCRIPTION} has other classes, so that their numbers would differ: give another OUT")
    known = {split for split in SPLITS if there is not None and there.get(split) == _picture_folder(split)}
    existing = [split for split in SPLITS if split in known | set(splits)]
    folders = {split: _picture_folder(split if split in existing else existing[0]) for split in SPLITS[:2]}
    return folders | {split: _picture_folder(split) for split in existing} | {"names": dict(enumerate(names))}


def adds_a_split(out: Path, split: str | None) -> bool:
    """Whether the split can be added to a data set that `mal` has written: it does not exist there yet."""
    is_new = split is not None and not any((out / kind / split).exists() for kind in ("images", "labels"))
    return is_new and _own_description(out) is not None


def as_yaml(document: dict[str, Any]) -> bytes:
    """The text of ``data.yaml``, from which the same document is read again."""
    # Written as they are, these come back as other line breaks.
    has_breaks = any(mark in str(name) for mark in "\x85\u2028\u2029" for name in document["names"].values())
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=not has_breaks).encode()


def _own_description(out: Path) -> dict[str, Any] | None:
    """The ``data.yaml`` of a folder; None if it is missing or not written by `mal`."""
    file = out / DESCRIPTION
    if not file.is_file():
        return None
    try:
        document = load_yaml(read_text_file(file))
    except (UserError, ValueError, yaml.YAMLError):
        return None  # whatever it is, it is not one of ours
    is_own = isinstance(document, dict) and set(document) <= {*SPLITS, "names"} and "names" in document
    return document if is_own else None


def _picture_folder(split: str) -> str:
    return f"images/{split}"


def _hash(name: PurePosixPath) -> float:
    """Hash a name to a number 0..1, the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.as_posix().encode()).digest()[:6], "big") / 2**48


Kind = Literal["yolo", "yolo-seg"]

_KEPT = {"id", "image_id", "category_id", "bbox", "segmentation", "area", "iscrowd"}
_SPLIT_FOLDERS = {"train", "val", "valid", "validation", "test"}
_DECIMALS = 8  # of a share of the image: below a thousandth of a pixel at any size that images have


def write_yolo(coco: CocoFile, out: Path, options: WriteOptions, tally: Tally, kind: Kind) -> None:
    """Write a folder with ``data.yaml`` and ``labels/<split>/``; an image without annotations gets an empty file.

    Class numbers are places in the list of categories. "yolo" writes boxes, limited to the image; "yolo-seg" one
    polygon for each mask, whose components and holes are joined by bridges (`mal.formats.outlines.outline`). All
    images go into the split of the options, beside the other splits of ``out``; without one a share of them goes into
    "val".

    Raises:
        UserError: a record is broken and the tally may not skip it, two images would share a file, ``out`` has other
            classes, or the folder cannot be written.
    """
    names = class_names(coco)
    validation = _validation_images(coco, options)
    splits: Counter[str] = Counter()
    folders: set[str] = set()
    with whole_folder(out) as folder:
        taken = OutputNames(folder, [DESCRIPTION])
        for item in by_image(coco, tally, options.images):
            split = options.split or ("val" if item.file_name.with_suffix("") in validation else "train")
            with written(item, tally):
                _require_no_other(item, out, split, options)
                _write_image(item, taken, split, options, tally, kind)
                splits[split] += 1
                folders.add(item.file_name.parts[0])
        for split in splits:  # also where all labels of a split lie in folders "labels" deeper down
            (folder / "labels" / split).mkdir(parents=True, exist_ok=True)
        document = description(names, splits or [options.split or "train"], out)
        (folder / DESCRIPTION).write_bytes(as_yaml(document))
    tally.classes = len(names)
    tally.lost["ids and other keys of classes"] += len(coco.categories)
    tally.notes += _notes(splits, folders, document, options)


def _validation_images(coco: CocoFile, options: WriteOptions) -> set[PurePosixPath]:
    if options.split is not None:
        return set()
    names = []
    for image in coco.images.values():
        with suppress(RefusedName):  # `by_image` names it
            names.append(relative_name(image.file_name, options.images).with_suffix(""))
    return validation_images(names, options.val_share)


def _require_no_other(item: AnnotatedImage, out: Path, split: str, options: WriteOptions) -> None:
    """Check that no earlier conversion put the image into the other split.

    Raises:
        RefusedName: it did.
    """
    other = out / _label_path(PurePosixPath("images", "train" if split == "val" else "val", item.file_name))
    if options.split is None and other.exists():
        raise RefusedName(f"an earlier conversion has put it into the other split, as {other}: empty OUT first")


def _write_image(
    item: AnnotatedImage, taken: OutputNames, split: str, options: WriteOptions, tally: Tally, kind: Kind
) -> None:
    picture = PurePosixPath("images", split, item.file_name)
    path = taken.take_path(_label_path(picture), item.image.file_name)
    source = source_picture(item.file_name, options)
    if source is not None:
        bring(source, taken.take_path(picture, item.image.file_name), options)
    lines = (_label_line(annotation, item.image, options, tally, kind) for annotation in item.annotations)
    path.write_text("".join(f"{line}\n" for line in lines if line), encoding="utf-8")
    tally.lost["ids and other keys of images"] += 1


def _label_path(picture: PurePosixPath) -> PurePosixPath:
    """The text file of a picture as trainers look for it: the last folder ``images`` of its path becomes ``labels``."""
    parts = list(picture.parts)
    parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return PurePosixPath(*parts).with_suffix(".txt")


def _notes(splits: Counter[str], folders: set[str], document: dict[str, Any], options: WriteOptions) -> Iterator[str]:
    if options.split is None and folders and folders <= _SPLIT_FOLDERS:
        there = ", ".join(sorted(folders))
        yield f"the folders {there} of the file names are no splits of it: to keep those, convert each with its --split"
    if options.split is None:
        yield f"images in train: {splits['train']}, in val: {splits['val']}, chosen by their names (--val-share)"
    for split in SPLITS[:2]:
        if document[split] != f"images/{split}":
            yield (
                f"{split} in {DESCRIPTION} names {document[split]}, since there are no other pictures: a second call"
                f" with --split {split} adds some"
            )
    if options.pictures == "no":
        yield "there are no pictures in it, which trainers need: --images DIR with --pictures copy or link"


def _label_line(
    annotation: Annotation, image: ImageRecord, options: WriteOptions, tally: Tally, kind: Kind
) -> str | None:
    where = f"{annotation.name} of {image.file_name}"
    if annotation.is_group:
        tally.left_out["YOLO has no groups (iscrowd)"].append(where)
        return None
    if kind == "yolo":
        numbers = _box(annotation, image, tally, where)
    else:
        numbers = _polygon(annotation, image, options, tally, where)
    if numbers is None:
        return None
    tally.count(has_mask=kind == "yolo-seg")
    tally.lost["ids of annotations"] += 1
    if annotation.rle is not None and kind == "yolo":
        tally.lost["masks (--to yolo-seg keeps them)"] += 1
    others = set(annotation.record) - _KEPT
    if others:
        tally.lost[f"other keys of annotations ({', '.join(sorted(others))})"] += 1
    return " ".join([str(annotation.class_row), *map(_format_number, numbers)])


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


def _polygon(
    annotation: Annotation, image: ImageRecord, options: WriteOptions, tally: Tally, where: str
) -> list[float] | None:
    if annotation.rle is None:
        tally.left_out["no mask (--to yolo keeps the box)"].append(where)
        return None
    polygons = outline(annotation.rle, options, tally, where, is_joined=True)
    if not polygons:
        tally.left_out["the mask is empty"].append(where)
        return None
    tally.lost["boxes other than those around the masks"] += 1
    shares: list[float] = (polygons[0] / (image.width, image.height)).ravel().tolist()
    return shares


def _format_number(value: float) -> str:
    return f"{value:.{_DECIMALS}f}".rstrip("0").rstrip(".") or "0"
