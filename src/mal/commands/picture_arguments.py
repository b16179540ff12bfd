"""Arguments about images: how they are read, and photos with their boxes."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mal.commands.parser import CommandParser, output_file
from mal.commands.spec_flags import add_spec_flags, values_given
from mal.reading import AS_STORED, Reading
from mal.tasks.photo import Photo, Xywh

_FIELDS = ("dataset.exif", "dataset.gray_range", "dataset.max_megapixels")


def add_picture_arguments(group: Any) -> None:
    """Add --exif, --gray-range and --max-megapixels to a parser or a group; `reading_asked_for` makes them one."""
    add_spec_flags(group, _FIELDS)


def reading_asked_for(arguments: argparse.Namespace, otherwise: Reading = AS_STORED) -> Reading:
    """How to read images according to the options; missing ones are taken from ``otherwise``."""
    given = values_given(arguments)
    return Reading.of(
        given.get("dataset.exif", otherwise.exif),
        given.get("dataset.gray_range", otherwise.gray_range),
        given.get("dataset.max_megapixels", otherwise.max_pixels / 1e6),
    )


_PARTS = "photo_parts"


class _InOrder(argparse.Action):
    """Stores values with their options, in the order of the command line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, _PARTS, [*getattr(namespace, _PARTS), (self.dest, values)])


def add_photo_arguments(parser: CommandParser) -> None:
    """Declare ``--image``, ``--box`` and ``--overlay``."""
    parser.set_defaults(**{_PARTS: []})
    group = parser.add_argument_group("photos")
    group.add_argument(
        "--image",
        type=Path,
        action=_InOrder,
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="a photo; may be given several times, each followed by its boxes. A pattern as 'cam/*.jpg', or a .txt file"
        " with one path a line, stands for several photos with the same boxes",
    )
    group.add_argument(
        "--box",
        type=_box,
        action=_InOrder,
        default=argparse.SUPPRESS,
        metavar="x,y,w,h",
        help="a box in pixels, from the left upper corner; once for each object (--box=-5,2,30,30 where x is negative)",
    )
    group.add_argument(
        "--overlay",
        type=output_file,
        action=_InOrder,
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="picture to write of the photo before it (default: <photo>_masks.png in this folder)",
    )


def photos_asked_for(arguments: argparse.Namespace) -> tuple[Photo, ...]:
    """Parse the photos with their boxes; exits with a usage error if the assignment is not clear."""
    parser: CommandParser = arguments.parser
    parts: list[tuple[str, Any]] = getattr(arguments, _PARTS)
    images = [value for kind, value in parts if kind == "image"]
    if parts and not images:
        parser.error("--box and --overlay go with --image")
    if len(images) > 1 and parts[0][0] != "image":
        parser.error(f"with several photos, --{parts[0][0]} comes after the --image that it belongs to")
    photos = [photo for path, given in _by_image(parts, images) for photo in _photos(parser, path, given)]
    _check_names(parser, photos)
    return tuple(photos)


def _by_image(parts: Sequence[tuple[str, Any]], images: Sequence[Path]) -> list[tuple[Path, list[tuple[str, Any]]]]:
    if len(images) == 1:  # everything belongs to it, in any order
        return [(images[0], [part for part in parts if part[0] != "image"])]
    found: list[tuple[Path, list[tuple[str, Any]]]] = []
    for kind, value in parts:
        if kind == "image":
            found.append((value, []))
        else:
            found[-1][1].append((kind, value))
    return found


def _photos(parser: CommandParser, path: Path, given: Sequence[tuple[str, Any]]) -> list[Photo]:
    """The photo of a path, or those of a pattern or a list, which share their boxes."""
    is_several = path.suffix.lower() == ".txt" or (any(sign in str(path) for sign in "*?[") and not path.exists())
    if not is_several:
        return [_photo(parser, path, given)]
    if any(kind == "overlay" for kind, _ in given):
        parser.error(f"--overlay is the picture of one photo, and --image {path} stands for several")
    from mal.formats.folders import listed_files

    return [_photo(parser, each, given) for each in listed_files(path, "photos")]


def _photo(parser: CommandParser, path: Path, given: Sequence[tuple[str, Any]]) -> Photo:
    boxes = tuple(value for kind, value in given if kind == "box")
    overlays = [value for kind, value in given if kind == "overlay"]
    if not boxes:
        parser.error(f"--image needs at least one --box x,y,w,h: {path} has none")
    if len(overlays) > 1:
        parser.error(f"--overlay is given twice for {path}")
    return Photo(path, boxes, overlays[0] if overlays else Path(f"{path.stem}_masks.png"))


def _check_names(parser: CommandParser, photos: Sequence[Photo]) -> None:
    for path, count in Counter(photo.path for photo in photos).items():
        if count > 1:
            parser.error(f"--image {path} is given {count} times: give all its boxes after one of them")
    for overlay, count in Counter(photo.overlay for photo in photos).items():
        if count > 1:
            parser.error(f"{count} photos have the overlay {overlay}: name one for each with --overlay")


def _box(text: str) -> Xywh:
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a box; write four numbers: x,y,w,h") from None
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a box; width and height must be above 0")
    return x, y, width, height
