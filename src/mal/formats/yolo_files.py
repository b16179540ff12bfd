"""YOLO's files: the description of a data set (`data.yaml`, `obj.data`) and the lines of a label file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from mal.bounded_yaml import load_yaml
from mal.errors import UserError, one_line
from mal.formats.text_files import read_text_file
from mal.limits import MAX_YAML_NODES
from mal.masks.rle import rle_area, rle_from_segmentation

_WORDS = "a box is `class cx cy w h`, a polygon `class x1 y1 x2 y2 x3 y3 ...`, either with a confidence behind it"
_POSE_HINT = "; should this be a box with key points, say so by kpt_shape in data.yaml"
_SLACK = 0.01  # shares beside the image that trainers take too


@dataclass(frozen=True)
class LabelLine:
    """A parsed line.

    Attributes:
        number: of the class, from 0 on.
        xywh: the box in pixels.
        more: other keys of a COCO record: ``segmentation`` and ``area``, ``score``.
        has_key_points: whether it had some, which are not kept.
    """

    number: int
    xywh: tuple[float, float, float, float]
    more: dict[str, Any]
    has_key_points: bool = False


def read_line(words: list[str], size: tuple[int, int], key_points: int) -> LabelLine:
    """Parse the words of a line.

    Args:
        words: the class and its numbers, shares of the image.
        size: width and height of the image in pixels.
        key_points: values of the key points behind a box; 0 where the data set has none.

    Raises:
        ValueError: the line is broken.
    """
    number, values = _class_number(words[0]), _numbers(words[1:])
    if key_points and len(values) in (4 + key_points, 5 + key_points):
        score = values[4 + key_points :]
        return LabelLine(number, _parse_box(_shares(values[:4]), size), _scored(score), has_key_points=True)
    if key_points and len(values) not in (4, 5):
        raise ValueError(f"{len(words)} words; by kpt_shape a line has {5 + key_points}, the key points behind a box")
    if len(values) in (4, 5):
        return LabelLine(number, _parse_box(_shares(values[:4]), size), _scored(values[4:]))
    if len(values) < 6:
        raise ValueError(f"{len(words)} words; {_WORDS}")
    corners = len(values) // 2 * 2
    shares = _shares(values[:corners], _POSE_HINT if _may_be_pose(values) else "")
    box, mask = _parse_polygon(shares, size)
    return LabelLine(number, box, mask | _scored(values[corners:]))


def _class_number(word: str) -> int:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not (value >= 0 and value.is_integer() and math.isfinite(value)):
        raise ValueError(f"class {word!r} is not a number from 0 on")
    return int(value)


def _numbers(words: list[str]) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError:
        raise ValueError("a value is not a number") from None


def _shares(values: list[float], hint: str = "") -> list[float]:
    if not all(math.isfinite(value) and -_SLACK <= value <= 1 + _SLACK for value in values):
        raise ValueError(
            f"a value is not a share of the image, 0 to 1: YOLO's numbers are divided by width and height{hint}"
        )
    return values


def _may_be_pose(values: list[float]) -> bool:
    """Whether every third value behind a box is a visibility: 0 not there, 1 hidden, 2 seen."""
    return len(values) >= 7 and len(values) % 3 == 1 and set(values[6::3]) <= {0.0, 1.0, 2.0}


def _scored(values: list[float]) -> dict[str, Any]:
    return {"score": _shares(values)[0]} if values else {}


def _parse_box(shares: list[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    center_x, center_y, width, height = (share * size[axis % 2] for axis, share in enumerate(shares))
    if width <= 0 or height <= 0:
        raise ValueError("the box has no extent")
    left, top = round(center_x - width / 2, 4), round(center_y - height / 2, 4)
    return left, top, round(width, 4), round(height, 4)


def _parse_polygon(
    shares: list[float], size: tuple[int, int]
) -> tuple[tuple[float, float, float, float], dict[str, Any]]:
    points = [round(share * size[axis % 2], 3) for axis, share in enumerate(shares)]
    xs, ys = points[0::2], points[1::2]
    box = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    if box[2] <= 0 or box[3] <= 0:
        raise ValueError("the polygon has no extent")
    area = rle_area(rle_from_segmentation([points], size[1], size[0]))
    return box, {"segmentation": [points], "area": area}


_DESCRIPTIONS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels", "labels/classes.txt")
_SPLIT_KEYS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
_OTHER_KEYS = {"path", "names", "nc", "kpt_shape", "flip_idx", "download", "channels", "classes", "backup", "eval"}
_NAMELESS = "a YOLO data set has its class names under the key names (or their number under nc), this file has neither"


@dataclass(frozen=True)
class YoloDescription:
    """Description of a data set: classes, splits, root folders.

    Attributes:
        source: the file or folder that says it, for messages.
        roots: folders in which its relative paths may begin, the likeliest first.
        names: class names by number; numbers may be left out.
        splits: by name, the folders, lists and pictures in it as they are written; empty where nothing is said.
        key_points: values of the key points that follow the box in a line; 0 where a line has none.
    """

    source: Path
    roots: tuple[Path, ...]
    names: dict[int, str] = field(default_factory=dict)
    splits: dict[str, list[str]] = field(default_factory=dict)
    key_points: int = 0

    def located(self, entry: str) -> Path | None:
        """Locate a file or folder that the data set names; None if it does not exist.

        Data sets are moved, and written for the folder that a tool starts in: Roboflow's ``../train/images``, CVAT's
        ``data/obj_train_data``, absolute paths of another machine.
        """
        return next((path for path in self._places(entry) if path.exists()), None)

    def _places(self, entry: str) -> Iterator[Path]:
        entry = entry.replace("\\", "/")
        for root in self.roots:
            yield root / entry
            for beginning in ("../", "data/"):
                if entry.startswith(beginning):
                    yield root / entry.removeprefix(beginning)
        parts = Path(entry).parts
        if entry.startswith("/") or entry[1:2] == ":":
            for first in range(1, len(parts) - 1):  # at least two parts: a bare name says too little
                yield from (root.joinpath(*parts[first:]) for root in self.roots)


def read_description(path: Path) -> YoloDescription:
    """Read the description of a data set.

    Args:
        path: ``data.yaml``, darknet's ``obj.data``, or a folder with one of them or with names in ``classes.txt``.

    Raises:
        UserError: it says nothing, or something that no data set has.
    """
    if path.is_dir():
        path = _description_in(path)
    if path.is_dir():
        return YoloDescription(path, (path,), _read_name_file(path))
    if path.suffix.lower() == ".data":
        return _darknet(path)
    return _of_yaml(path)


def is_name_file(path: Path) -> bool:
    """Whether a text file beside labels holds class names."""
    return path.name in {Path(name).name for name in NAME_FILES}


def has_name_file(folder: Path) -> bool:
    """Whether a folder holds the class names of a data set without a description."""
    return any((folder / name).is_file() for name in NAME_FILES)


def _description_in(folder: Path) -> Path:
    """The file that describes a folder, or the folder itself where there is none."""
    for name in _DESCRIPTIONS:
        if (folder / name).is_file():
            return folder / name
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]) or sorted(folder.glob("*.data"))
    if len(files) > 1:
        raise UserError(f"{folder} has several descriptions ({', '.join(file.name for file in files)}): give one")
    return files[0] if files else folder


def _of_yaml(path: Path) -> YoloDescription:
    text = read_text_file(path)
    try:
        document = load_yaml(text)
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read as YAML: {one_line(error)}") from error
    if not isinstance(document, dict):
        raise UserError(f"{path}: {_NAMELESS}")
    roots = (path.parent / str(document.get("path") or "."), path.parent)
    bare = YoloDescription(path, tuple(dict.fromkeys(root for root in roots if root.is_dir())))
    names, splits, key_points = _names(document, path), _splits(document, bare), _key_points(document, path)
    return replace(bare, names=names, splits=splits, key_points=key_points)


def _darknet(path: Path) -> YoloDescription:
    """Darknet's description, as CVAT's "YOLO 1.1" has it: lines of ``key = value``."""
    pairs = (line.partition("=") for line in read_text_file(path).splitlines() if not line.lstrip().startswith("#"))
    document = {key.strip(): value.strip() for key, _, value in pairs if value.strip()}
    bare = YoloDescription(path, (path.parent,))
    name_file = bare.located(document["names"]) if "names" in document else None
    names = _names_in(name_file) if name_file else _read_name_file(path.parent)
    return replace(bare, names=names, splits=_splits(document, bare))


def _names(document: dict[Any, Any], path: Path) -> dict[int, str]:
    names = document.get("names")
    if names is None and document.get("nc") is not None:
        count = document["nc"]
        if type(count) is not int or not 0 < count <= MAX_YAML_NODES:
            raise UserError(f"{path}: nc is {count!r}, not a number of classes from 1 to {MAX_YAML_NODES:,}")
        names = [f"class_{number}" for number in range(count)]
    if names is None:
        raise UserError(f"{path}: {_NAMELESS}")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(str(key).isdecimal() for key in names):
        raise UserError(f"{path}: names must be a list, or numbers from 0 on with a name each")
    return _checked({int(key): name for key, name in names.items()}, path)


def _checked(names: dict[int, Any], path: Path) -> dict[int, str]:
    for number, name in names.items():
        if not isinstance(name, (str, int, float)) or name == "":
            raise UserError(f"{path}: the name of class {number} is no text: names is one text for each class")
    texts = {number: str(names[number]) for number in sorted(names)}
    name, count = Counter(texts.values()).most_common(1)[0]
    if count > 1:
        raise UserError(f"{path}: two classes have the name {name}: give them different ones")
    return texts


def _read_name_file(folder: Path) -> dict[int, str]:
    for name in NAME_FILES:
        if (folder / name).is_file():
            return _names_in(folder / name)
    raise UserError(f"{folder}: no data.yaml, obj.data or classes.txt in it, so the classes have no names")


def _names_in(file: Path) -> dict[int, str]:
    names = read_text_file(file).rstrip().splitlines()
    if not names:
        raise UserError(f"{file}: no class names in it: one a line is expected")
    return _checked({number: name.strip() or f"class_{number}" for number, name in enumerate(names)}, file)


def _splits(document: dict[Any, Any], bare: YoloDescription) -> dict[str, list[str]]:
    """The entries by split. Datumaro and CVAT name splits as they like; those are paths under any other key."""
    splits: dict[str, list[str]] = {}
    for key in [*_SPLIT_KEYS, *document]:
        name, value = _SPLIT_KEYS.get(key, key), document.get(key)
        if key in _OTHER_KEYS or name in splits or not value:
            continue
        entries = value if isinstance(value, list) else [value]
        are_texts = all(isinstance(entry, str) for entry in entries)
        if key in _SPLIT_KEYS and not are_texts:
            raise UserError(f"{bare.source}: {key} must be a path, or a list of paths")
        if are_texts and (key in _SPLIT_KEYS or all(bare.located(entry) for entry in entries)):
            splits[str(name)] = entries
    return splits


def _key_points(document: dict[Any, Any], path: Path) -> int:
    shape = document.get("kpt_shape")
    if shape is None:
        return 0
    sound = isinstance(shape, list) and len(shape) == 2 and all(type(side) is int and side > 0 for side in shape)
    if not sound or shape[1] not in (2, 3):
        raise UserError(f"{path}: kpt_shape is {shape!r}, not the number of key points and of values of each (2 or 3)")
    return int(shape[0] * shape[1])
