"""Read YOLO data sets: boxes, or polygons, in text files beside the pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mal.bounded_yaml import load_yaml
from mal.data.coco import CocoFile
from mal.errors import UserError, one_line
from mal.formats.builder import CocoBuilder
from mal.formats.options import ReadOptions
from mal.formats.pictures import picture_size, pictures_in
from mal.formats.tally import Tally
from mal.masks.rle import rle_area, rle_from_segmentation

_SPLITS = ("train", "val", "test")
_NAME_FILES = ("classes.txt", "obj.names", "labels/classes.txt")


@dataclass(frozen=True)
class _Picture:
    path: Path
    label: Path


def read_yolo(path: Path, options: ReadOptions, tally: Tally) -> tuple[CocoFile, Path]:
    """Read a YOLO data set.

    Lines are ``class cx cy w h``, with a confidence after them in predictions, or ``class x1 y1 x2 y2 x3 y3 ...``
    (YOLO-seg, which becomes a polygon); numbers are shares of the image's width and height. Class 0 becomes category 1.

    Args:
        path: ``dataset.yaml``, or the folder that holds it; a folder with ``images/``, ``labels/`` and ``classes.txt``
            will do too.
        options: ``split`` and ``images`` count.
        tally: notes broken records.

    Returns:
        The file, and the folder that the file names of its images begin in.

    Raises:
        UserError: something is missing or broken; the file and line are named.
    """
    root, document, source = _description(path)
    names = _names(document, root, source)
    pictures = list(_pictures(root, document, source, options, tally))
    if not pictures:
        raise UserError(f"{source}: no pictures were found for it; --images DIR says where they are")
    folder = options.images or _common_folder([picture.path.parent for picture in pictures])
    builder = CocoBuilder(names)
    for picture in pictures:
        size = picture_size(picture.path)
        builder.image(picture.path.relative_to(folder).as_posix(), size)
        if picture.label.is_file():
            _read_labels(picture.label, size, names, builder, tally)
    return builder.build(source, tally), folder


def _description(path: Path) -> tuple[Path, dict[str, Any], Path]:
    """The root folder, the content of dataset.yaml, and the file or folder to name in messages."""
    if path.is_dir():
        files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
        if not files:
            return path, {}, path
        if len(files) > 1:
            raise UserError(f"{path} has several .yaml files ({', '.join(file.name for file in files)}): give one")
        path = files[0]
    try:
        document = load_yaml(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read as YAML: {one_line(error)}") from error
    if not isinstance(document, dict) or "names" not in document:
        raise UserError(f"{path}: a YOLO data set has its class names under the key names, this file has not")
    # A relative path is one from the file; where a data set was moved, the file's own folder counts.
    named = path.parent / str(document.get("path") or ".")
    return named if named.is_dir() else path.parent, document, path


def _names(document: dict[str, Any], root: Path, source: Path) -> list[str]:
    names = document.get("names")
    if names is None:
        for name in _NAME_FILES:
            if (root / name).is_file():
                return (root / name).read_text(encoding="utf-8-sig").splitlines()
        raise UserError(f"{source}: no dataset.yaml and no classes.txt in it, so the classes have no names")
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise UserError(f"{source}: names must be a list, or numbers from 0 on with a name each")
    texts = [str(name) for name in names]
    for text in texts:
        if texts.count(text) > 1:
            raise UserError(f"{source}: two classes have the name {text}: give them different ones")
    return texts


def _pictures(
    root: Path, document: dict[str, Any], source: Path, options: ReadOptions, tally: Tally
) -> Iterator[_Picture]:
    splits = [split for split in _SPLITS if _entries(document.get(split))]
    if options.split is not None:
        if splits and options.split not in splits:
            raise UserError(f"{source}: no split {options.split}; it has {', '.join(splits)}")
        splits = [options.split]
    if options.images is not None:
        yield from _beside(options.images, root, splits, source, tally)
        return
    entries = [entry for split in splits for entry in _entries(document.get(split))]
    for entry in entries or ["images"]:
        place = root / entry
        if place.is_dir():
            found = [_Picture(path, _label_of(path)) for path in pictures_in(place)]
            _check_labels(_label_of(place / "any.png").parent, found, place, tally)
            yield from found
        elif place.is_file():
            for line in place.read_text(encoding="utf-8-sig").split("\n"):
                if line.strip():
                    listed = place.parent / line.strip() if line.startswith("./") else root / line.strip()
                    yield _Picture(listed, _label_of(listed))
        else:
            raise UserError(f"{source}: {place} does not exist; --images DIR says where the pictures are")


def _beside(images: Path, root: Path, splits: list[str], source: Path, tally: Tally) -> list[_Picture]:
    """Pictures of a folder of their own, whose labels have the same names below ``labels/``."""
    if len(splits) > 1:
        raise UserError(f"{source}: --images is one folder, and there are the splits {', '.join(splits)}: give --split")
    folders = [*(root / "labels" / split for split in splits), root / "labels", root]
    labels = next(folder for folder in folders if folder.is_dir())
    stems = ((path, path.relative_to(images).with_suffix("").as_posix()) for path in pictures_in(images))
    found = [_Picture(path, labels / f"{stem}.txt") for path, stem in stems]
    _check_labels(labels, found, images, tally)
    return found


def _check_labels(labels: Path, pictures: list[_Picture], images: Path, tally: Tally) -> None:
    """Name the label files whose pictures are not there."""
    known = {picture.label for picture in pictures}
    for path in sorted(labels.rglob("*.txt")):
        if path not in known and path.name not in _NAME_FILES:
            tally.broken(str(path), f"no picture of that name in {images}")


def _label_of(picture: Path) -> Path:
    """The text file of a picture: the last folder ``images`` of its path becomes ``labels``."""
    parts = list(picture.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _entries(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(entry) for entry in value]
    return [str(value)] if value else []


def _common_folder(folders: list[Path]) -> Path:
    """The deepest folder that holds all."""
    common = folders[0]
    for folder in set(folders):
        while not folder.is_relative_to(common):
            common = common.parent
    return common


def _read_labels(path: Path, size: tuple[int, int], names: list[str], builder: CocoBuilder, tally: Tally) -> None:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        tally.broken(str(path), f"it cannot be read as text: {error}")
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            _read_line(line.split(), size, names, builder)
        except ValueError as error:
            tally.broken(f"{path}, line {number}", str(error))


def _read_line(words: list[str], size: tuple[int, int], names: list[str], builder: CocoBuilder) -> None:
    """Add the annotation of a line.

    Raises:
        ValueError: the line is broken.
    """
    if len(words) not in (5, 6) and (len(words) < 7 or len(words) % 2 == 0):
        raise ValueError(f"{len(words)} words; a box is `class cx cy w h`, a polygon `class x1 y1 x2 y2 x3 y3 ...`")
    if not words[0].isdecimal():
        raise ValueError(f"class {words[0]!r} is not a number from 0 on")
    if int(words[0]) >= len(names):
        raise ValueError(f"class {words[0]} is not among the {len(names)} names of the data set")
    try:
        values = [float(word) for word in words[1:]]
    except ValueError:
        raise ValueError("a value is not a number") from None
    if not all(math.isfinite(value) and -0.01 <= value <= 1.01 for value in values):
        raise ValueError("a value is not a share of the image, 0 to 1: YOLO's numbers are divided by width and height")
    name = names[int(words[0])]
    if len(values) <= 5:
        builder.annotation(name, _box(values, size), {"score": values[4]} if len(values) == 5 else {})
    else:
        _add_polygon(name, values, size, builder)


def _box(values: list[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    center_x, center_y, width, height = (value * size[axis % 2] for axis, value in enumerate(values[:4]))
    if width <= 0 or height <= 0:
        raise ValueError("the box has no extent")
    left, top = round(center_x - width / 2, 4), round(center_y - height / 2, 4)
    return left, top, round(width, 4), round(height, 4)


def _add_polygon(name: str, values: list[float], size: tuple[int, int], builder: CocoBuilder) -> None:
    points = [round(value * size[axis % 2], 3) for axis, value in enumerate(values)]
    xs, ys = points[0::2], points[1::2]
    box = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    if box[2] <= 0 or box[3] <= 0:
        raise ValueError("the polygon has no extent")
    area = rle_area(rle_from_segmentation([points], size[1], size[0]))
    builder.annotation(name, box, {"segmentation": [points], "area": area})
