"""Read YOLO data sets: text files of boxes, polygons, or boxes with key points."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from mal.coco.coco_file import CocoFile
from mal.errors import UserError
from mal.formats.builder import CocoBuilder
from mal.formats.folders import SUFFIXES, ReadOptions, picture_size, pictures_in
from mal.formats.tally import Tally
from mal.formats.text_files import read_text_file
from mal.formats.yolo_files import NAME_FILES, YoloDescription, is_name_file, read_description, read_line

_ASK = "--images DIR says where the pictures are"
_TWICE = "a picture that is named twice is read once"
_KEY_POINTS = "key points (of such lines the box is read)"


@dataclass(frozen=True)
class _Picture:
    path: Path
    label: Path


def read_yolo(path: Path, options: ReadOptions, tally: Tally) -> tuple[CocoFile, Path]:
    """Read a YOLO data set.

    Lines are as of `mal.formats.yolo_files`; numbers are shares of the image's width and height. Class 0 becomes
    category 1. A picture that several splits name is read once.

    Args:
        path: ``data.yaml``, darknet's ``obj.data``, or the folder that holds one of them; a folder with pictures,
            labels and ``classes.txt`` will do too.
        options: ``split`` and ``images`` count.
        tally: notes broken records.

    Returns:
        The file, and the folder that the file names of its images begin in.

    Raises:
        UserError: something is missing or broken; the file and line are named.
    """
    described = read_description(path)
    pictures = _drop_repeated(_pictures(described, options, tally), tally)
    if not pictures:
        raise UserError(f"{described.source}: no pictures were found for it; {_ASK}")
    if not any(picture.label.is_file() for picture in pictures):
        raise UserError(f"{described.source}: no picture of {len(pictures)} has labels: {pictures[0].label} is missing")
    folder = options.images or _common_folder([picture.path.parent for picture in pictures])
    builder = CocoBuilder()
    builder.categories({"id": number + 1, "name": name} for number, name in described.names.items())
    for picture in pictures:
        try:
            size = picture_size(picture.path, "upright")
        except UserError as error:
            tally.broken(f"{described.source}, {picture.path}", str(error))
            continue
        builder.image(os.path.relpath(picture.path, folder).replace(os.sep, "/"), size)
        if picture.label.is_file():
            _read_labels(picture.label, size, described, builder, tally)
    return builder.build(described.source, tally), folder


def yolo_files(path: Path, options: ReadOptions) -> tuple[list[Path], list[Path]]:
    """The text files and the pictures that `read_yolo` reads.

    Raises:
        UserError: as `read_yolo`, where files are missing.
    """
    described = read_description(path)
    pictures = list(_pictures(described, options, Tally()))
    folders = (path if path.is_dir() else path.parent, *described.roots)
    texts = [file for folder in folders for name in NAME_FILES if (file := folder / name).is_file()]
    texts += [described.source] if described.source.is_file() else []
    entries = [described.located(entry) for entries in described.splits.values() for entry in entries]
    texts += [place for place in entries if place is not None and place.suffix == ".txt" and place.is_file()]
    texts += [picture.label for picture in pictures if picture.label.is_file()]
    return list(dict.fromkeys(texts)), [picture.path for picture in pictures]


def yolo_splits(path: Path) -> list[str]:
    """The names of the splits that a data set describes; none where it describes none.

    Raises:
        UserError: as `mal.formats.yolo_files.read_description`.
    """
    return list(read_description(path).splits)


def pictures_of_split(path: Path, split: str, images: Path | None = None) -> tuple[list[Path], Path | None]:
    """The pictures of a split, also where none has labels, and the folder that holds them; None without pictures.

    Args:
        path: as of `read_yolo`.
        split: a name of `yolo_splits`.
        images: folder of the pictures; None looks where the data set has them.

    Raises:
        UserError: the folder of the split does not exist.
    """
    options = ReadOptions(images=images, split=split)
    pictures = [picture.path for picture in _pictures(read_description(path), options, Tally(skip_broken=True))]
    return pictures, _common_folder([picture.parent for picture in pictures]) if pictures else None


def _pictures(described: YoloDescription, options: ReadOptions, tally: Tally) -> Iterator[_Picture]:
    splits = described.splits
    if options.split is not None:
        if splits and options.split not in splits:
            raise UserError(f"{described.source}: no split {options.split}; it has {', '.join(splits)}")
        splits = {options.split: splits.get(options.split, [])}
    if options.images is not None:
        yield from _elsewhere(options.images, described, splits, tally)
        return
    entries = [entry for split in splits.values() for entry in split]
    if not entries:
        folders = (described.roots[-1] / name for name in ("images", "obj_train_data"))
        yield from _in_folder(next((folder for folder in folders if folder.is_dir()), described.roots[-1]), tally)
    for entry in entries:
        place = described.located(entry)
        if place is None:
            raise UserError(f"{described.source}: {described.roots[0] / entry} does not exist; {_ASK}")
        if place.is_dir():
            yield from _in_folder(place, tally)
        elif place.suffix.lower() in SUFFIXES:
            yield _picture(place)
        else:
            yield from (_picture(picture) for picture in _listed(place, described))


def _in_folder(folder: Path, tally: Tally) -> list[_Picture]:
    pictures = [_picture(path) for path in pictures_in(folder)]
    labels = _label_path(folder / "any.png").parent
    _check_labels(labels if labels.is_dir() else folder, pictures, folder, tally)
    return pictures


def _listed(file: Path, described: YoloDescription) -> Iterator[Path]:
    """Yield the images listed in a text file; for missing ones, the path next to their labels."""
    for line in read_text_file(file).splitlines():
        entry = line.strip()
        if not entry:
            continue
        beside = file.parent / entry
        if entry.startswith("./") or beside.is_file():
            yield beside
            continue
        label = described.located(_label_path(PurePosixPath(entry)).as_posix())
        where = label.with_name(PurePosixPath(entry).name) if label else described.roots[0] / entry
        yield described.located(entry) or where


def _elsewhere(images: Path, described: YoloDescription, splits: dict[str, list[str]], tally: Tally) -> list[_Picture]:
    """Pictures of a folder of their own, whose labels are in ``labels`` beside it or in the data set."""
    places = [described.located(entry) for entries in splits.values() for entry in entries]
    lists = [place for place in places if place is not None and place.suffix == ".txt" and place.is_file()]
    if lists:
        listed = [path for file in lists for path in _listed(file, described)]
        return [_Picture(_moved(path, images), _picture(path).label) for path in listed]
    folders = _labels_folders(images, described, list(splits))
    labels = folders[0]
    is_one_part = len(splits) == 1 and all((folder / split).is_dir() for split in splits for folder in (images, labels))
    pictures = pictures_in(images / next(iter(splits)) if is_one_part else images)
    found = [_Picture(path, _label_in(folders, path.relative_to(images))) for path in pictures]
    for folder in folders:
        _check_labels(folder / next(iter(splits)) if is_one_part else folder, found, images, tally)
    return found


def _label_in(folders: list[Path], picture: Path) -> Path:
    """The labels of a picture in the first of some folders that has them.

    Raises:
        UserError: two have labels for it.
    """
    places = [folder / picture.with_suffix(".txt") for folder in folders]
    if "images" in picture.parts[:-1]:  # for trainers the last folder of that name is the one that counts
        places += [_label_path(folder.parents[1] / "images" / folder.name / picture) for folder in folders]
    there = [place for place in places if place.is_file()]
    if len(there) > 1:
        raise UserError(f"{there[0]} and {there[1]} may both be the labels of {picture}: give --split")
    return there[0] if there else places[0]


def _labels_folders(images: Path, described: YoloDescription, splits: list[str]) -> list[Path]:
    """Where the labels of a folder of pictures are; in several folders where the splits share it.

    Raises:
        UserError: they may be those of several splits.
    """
    swapped, root = _label_path(images / "any.png").parent, described.roots[0]
    is_there = swapped != images and swapped.is_dir()
    if is_there and any(swapped.resolve().is_relative_to(folder.resolve()) for folder in described.roots):
        return [swapped]
    shared = [folder for split in splits if (folder := root / "labels" / split).is_dir()]
    if len(splits) > 1 and shared:
        return shared
    if len(splits) > 1:
        names = ", ".join(splits)
        raise UserError(f"{described.source}: --images is one folder, and there are the splits {names}: give --split")
    of_split = [folder for split in splits for folder in (root / "labels" / split, root / split / "labels")]
    folders = [*of_split, root / "labels", *([swapped] if is_there else []), root]
    return [next(folder for folder in folders if folder.is_dir())]


def _moved(path: Path, images: Path) -> Path:
    """Find an image of a list in another folder, by the end of its path."""
    tails = (images.joinpath(*path.parts[first:]) for first in range(1, len(path.parts)))
    return next((tail for tail in tails if tail.is_file()), images / path.name)


def _check_labels(labels: Path, pictures: list[_Picture], images: Path, tally: Tally) -> None:
    """Report label files without an image."""
    known = {picture.label for picture in pictures}
    for path in sorted(labels.rglob("*.txt")):
        if path not in known and not is_name_file(path) and _holds_labels(path):
            tally.broken(str(path), f"no picture of that name in {images}")


def _holds_labels(path: Path) -> bool:
    """Whether a text file begins as labels do; beside them there may be lists and notes."""
    with path.open("rb") as file:
        words = file.readline(1000).split()
    try:
        return len(words) >= 5 and all(float(word) >= 0 for word in words[:5])
    except ValueError:
        return False


def _picture(path: Path) -> _Picture:
    """A picture and its labels: the last folder ``images`` of its path becomes ``labels``, or they lie together."""
    label, beside = _label_path(path), path.with_suffix(".txt")
    return _Picture(path, beside if beside.is_file() and not label.is_file() else label)


PathT = TypeVar("PathT", bound=PurePath)


def _label_path(picture: PathT) -> PathT:
    parts = list(picture.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return type(picture)(*parts).with_suffix(".txt")


def _drop_repeated(pictures: Iterable[_Picture], tally: Tally) -> list[_Picture]:
    """Drop repeated images; data sets may use one folder for training and validation."""
    found: dict[str, _Picture] = {}
    for picture in pictures:
        if found.setdefault(os.path.normpath(picture.path), picture) is not picture:
            tally.changed[_TWICE].append(picture.path.name)
    return [_Picture(Path(path), picture.label) for path, picture in found.items()]


def _common_folder(folders: list[Path]) -> Path:
    """The deepest folder that holds all."""
    if any(folder.is_absolute() or ".." in folder.parts for folder in folders):
        folders = [folder.absolute() for folder in folders]
    return Path(os.path.commonpath([os.path.normpath(folder) for folder in folders]))


def _read_labels(
    path: Path, size: tuple[int, int], described: YoloDescription, builder: CocoBuilder, tally: Tally
) -> None:
    try:
        lines = read_text_file(path).splitlines()
    except UserError as error:
        tally.broken(str(path), str(error))
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            read = read_line(line.split(), size, described.key_points)
            if read.number not in described.names:
                raise ValueError(f"class {read.number} is not among the {len(described.names)} names of the data set")
        except ValueError as error:
            tally.broken(f"{path}, line {number}", str(error))
            continue
        builder.annotation(described.names[read.number], read.xywh, read.more)
        if read.has_key_points:
            tally.lost[_KEY_POINTS] += 1
