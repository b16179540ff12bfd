"""Read Pascal VOC boxes: an XML file for each image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from mal.coco.coco_file import CocoFile
from mal.errors import UserError
from mal.formats.builder import CocoBuilder
from mal.formats.folders import ReadOptions, annotation_files, named_picture, picture_size
from mal.formats.outlines_of_shapes import box_around, polygon_record, rectangle_corners, turned
from mal.formats.tally import Tally
from mal.formats.text_files import line_number, parsed_xml

_NO_ATTRIBUTES = {"name", "bndbox", "robndbox", "polygon", "part", "attributes"}  # more than a word about an object
_PARTS = "parts of objects (head, hand ...)"
_EDGES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class _Object:
    category: str
    xywh: Sequence[float]
    more: dict[str, Any]


def read_voc(path: Path, options: ReadOptions, tally: Tally) -> tuple[CocoFile, Path | None]:
    """Read the boxes of one XML file or of all in a folder.

    Edges count as pixel borders, as LabelImg, CVAT and Roboflow write them; with ``one_based`` as in the files of the
    Pascal VOC challenges, which count pixels from 1 and include the last. Roboflow's ``polygon`` becomes the mask, and
    so does roLabelImg's turned box. ``pose``, ``truncated``, ``difficult`` and CVAT's attributes are kept under
    ``attributes``. Classes are sorted by name.

    Args:
        path: an XML file, a pattern or a list of them, or a folder with such files or with a folder ``Annotations`` of
            them.
        options: ``one_based`` and ``images`` count; with the latter a picture that is missing is an error.
        tally: notes broken records.

    Returns:
        The file, and the folder of the pictures if it is known.

    Raises:
        UserError: there is no file, or one is broken; it is named with the line.
    """
    folder = path / "Annotations" if (path / "Annotations").is_dir() else path
    files, folder_of_files = annotation_files(folder, ".xml")
    if not files:
        raise UserError(f"{path}: no VOC files in {folder}: an XML file for each image is expected")
    images = options.images
    if images is None and (beside := folder_of_files.parent / "JPEGImages").is_dir():
        images = beside
    found: list[tuple[str, tuple[int, int], list[_Object]]] = []
    for file in files:
        try:
            root = _annotation(file)
            name = _file_name(root, file, images)
            size = _size_of_picture(root, images / name) if images is not None else _size(root, file)
            found.append((name, size, list(_objects(root, size, file, options, tally))))
        except UserError as error:
            if not tally.skip_broken:
                raise
            tally.broken(str(file), str(error))
    builder = CocoBuilder(sorted({item.category for *_, objects in found for item in objects}))
    for name, size, objects in found:
        builder.image(name, size)
        for item in objects:
            builder.annotation(item.category, item.xywh, item.more)
    return builder.build(path, tally), images


def _annotation(file: Path) -> Element:
    root = parsed_xml(file)
    if root.tag != "annotation":
        raise UserError(f"{file}: not a Pascal VOC file: its root is <{root.tag}>, not <annotation>")
    if root.find("imagesize") is not None and root.find("size") is None:
        raise UserError(
            f"no VOC files in {file.parent}: {file.name} is of the LabelMe web tool (MIT), which is not read"
        )
    return root


def _text(element: Element, name: str) -> str:
    return (element.findtext(name) or "").strip()


def _file_name(root: Element, file: Path, images: Path | None) -> str:
    # Some tools write a whole path, of a machine that is not this one.
    name = _text(root, "filename").replace("\\", "/").rpartition("/")[2]
    return named_picture(images or file.parent, name) if name else f"{file.stem}.jpg"


def _size_of_picture(root: Element, path: Path) -> tuple[int, int]:
    """As viewers show it, unless the file says that its boxes are on the picture as it is stored."""
    declared = _whole(_text(root, "size/width")), _whole(_text(root, "size/height"))
    return declared if declared == picture_size(path, "stored") else picture_size(path, "upright")


def _size(root: Element, file: Path) -> tuple[int, int]:
    sides = [_whole(_text(root, f"size/{name}")) for name in ("width", "height")]
    if not all(sides):
        raise UserError(f"{file}: no <size> with a width and a height in it; --images DIR takes them from the pictures")
    return sides[0], sides[1]


def _whole(text: str) -> int:
    """A number of pixels, also one written as 640.0; 0 where it is none."""
    try:
        value = float(text)
    except ValueError:
        return 0
    return int(value) if 0 < value < 2**31 and value.is_integer() else 0


def _objects(root: Element, size: tuple[int, int], file: Path, options: ReadOptions, tally: Tally) -> Iterator[_Object]:
    for element in root.iter("object"):
        if element.find("part") is not None:
            tally.lost[_PARTS] += len(element.findall("part"))
        try:
            yield _object(element, size, options)
        except ValueError as error:
            tally.broken(f"{file}, line {line_number(element)}", str(error))


def _object(element: Element, size: tuple[int, int], options: ReadOptions) -> _Object:
    category = _text(element, "name")
    if not category:
        raise ValueError("the object has no name")
    attributes = _attributes(element)
    more: dict[str, Any] = {"attributes": attributes} if attributes else {}
    first = 1.0 if options.one_based else 0.0  # the number of the first pixel
    polygon = [value - first for value in _polygon(element)] or _turned_box(element, first)
    if polygon:
        more |= polygon_record([polygon], size)
    box = _read_box(element, first) if element.find("bndbox") is not None or not polygon else box_around([polygon])
    return _Object(category, box, more)


def _read_box(element: Element, first: float) -> list[float]:
    x0, y0, x1, y1 = edges = [_read_number(element, f"bndbox/{name}") for name in _EDGES]
    box = [x0 - first, y0 - first, x1 - x0 + first, y1 - y0 + first]
    if not (0 < box[2] < 1e9 and 0 < box[3] < 1e9):
        raise ValueError(f"the box {', '.join(f'{edge:g}' for edge in edges)} has no extent")
    return box


def _read_number(element: Element, name: str) -> float:
    text = _text(element, name)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"<{name.rpartition('/')[2]}> is {text!r}, not a number")
    return value


def _polygon(element: Element) -> list[float]:
    """Roboflow's outline: ``<polygon><x1>..</x1><y1>..</y1><x2>.. </polygon>``; empty where there is none."""
    names = [child.tag for child in element.iterfind("polygon/*")]
    count = len(names) // 2
    expected = [f"{axis}{number}" for number in range(1, count + 1) for axis in "xy"]
    if sorted(names) != sorted(expected) or 0 < count < 3:
        raise ValueError("its polygon is not x1, y1, x2, y2, x3, y3 and so on")
    return [_read_number(element, f"polygon/{name}") for name in expected]


def _turned_box(element: Element, first: float) -> list[float]:
    """RoLabelImg's ``<robndbox>``, with its angle in radians; empty where there is none."""
    if element.find("robndbox") is None:
        return []
    x, y, width, height, angle = (_read_number(element, f"robndbox/{name}") for name in ("cx", "cy", "w", "h", "angle"))
    corners = rectangle_corners(x - first - width / 2, y - first - height / 2, width, height)
    return turned(corners, (x - first, y - first), math.degrees(angle))


def _attributes(element: Element) -> dict[str, str]:
    """Words about an object: its own elements, what lies in those, and CVAT's attributes by their names."""
    found = {_text(entry, "name"): _text(entry, "value") for entry in element.iterfind("attributes/attribute")}
    for child in element:
        if child.tag not in _NO_ATTRIBUTES:
            found[child.tag] = (child.text or "").strip()
            found |= {f"{child.tag}.{inner.tag}": (inner.text or "").strip() for inner in child}
    plain = _text(element, "attributes")
    return {name: text for name, text in (found | ({"attributes": plain} if plain else {})).items() if name and text}
