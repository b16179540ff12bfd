"""Read CVAT's XML format "CVAT for images 1.1": boxes, polygons, ellipses and masks."""

from __future__ import annotations

import math
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import Element

import numpy as np

from mal.coco.coco_file import CocoFile, read_open_coco
from mal.errors import UserError, one_line
from mal.formats.builder import CocoBuilder, restored
from mal.formats.by_image import NO_CLASSES
from mal.formats.folders import ReadOptions, size_or_picture
from mal.formats.outlines_of_shapes import box_around, ellipse_points, polygon_record, rectangle_corners, turned
from mal.formats.tally import Tally
from mal.formats.text_files import line_number, own_attributes, parsed_xml, xml_root
from mal.limits import MAX_IMAGE_PIXELS, MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO, UNPACKED_BYTES_IN_ANY_CASE
from mal.masks.rle import Rle, rle_from_window

_GEOMETRY = {"box": "xtl ytl xbr ybr rotation", "polygon": "points", "ellipse": "cx cy rx ry rotation"}
_GEOMETRY |= {"mask": "rle left top width height"}
_WITHOUT_AREA = ("polyline", "points", "cuboid", "skeleton", "tag")
_NO_LABEL = f'a shape without a label gets the class "{NO_CLASSES}"'


@dataclass(frozen=True)
class _Image:
    name: str
    size: tuple[int, int]


def read_cvat_xml(path: Path, options: ReadOptions, tally: Tally) -> CocoFile:
    """Read ``annotations.xml``, or the folder that holds it.

    Polygons of the same label and ``group_id`` become one annotation. Turned boxes and ellipses become polygons. Lines,
    points, cuboids and skeletons have no area: they are left out and counted. ``occluded``, ``z_order``, ``source`` and
    the attributes of labels are kept under ``attributes``.

    Raises:
        UserError: the file is broken; it is named with the line.
    """
    file = path / "annotations.xml" if path.is_dir() else path
    return read_cvat_root(parsed_xml(file), file, options, tally)


def read_cvat_root(root: Element, path: Path, options: ReadOptions, tally: Tally) -> CocoFile:
    """As `read_cvat_xml`, of what was parsed; messages call it ``path``."""
    if root.tag != "annotations":
        raise UserError(f"{path}: not an XML file of CVAT: its root is <{root.tag}>, not <annotations>")
    if root.find("track") is not None and root.find("image") is None:
        raise UserError(f'{path} is "CVAT for video 1.1", which is not read: export it as "CVAT for images 1.1"')
    labels = [(label.findtext("name") or "").strip() for label in root.iterfind("meta//labels/label")]
    builder = CocoBuilder([label for label in dict.fromkeys(labels) if label])
    for element in root.iterfind("image"):
        where = f"{path}, line {line_number(element)}"
        try:
            image = _image(element, options)
        except ValueError as error:
            tally.broken(where, str(error))
            continue
        builder.image(image.name, image.size)
        for shapes in _xml_annotations(element, path, tally):
            try:
                _add(shapes, image, path, builder, tally)
            except ValueError as error:
                tally.broken(f"{path}, line {line_number(shapes[0])}", str(error))
    return builder.build(path, tally)


def _image(element: Element, options: ReadOptions) -> _Image:
    name = element.get("name", "").replace("\\", "/").lstrip("/")
    if not name:
        raise ValueError("the image has no name")
    sides = [_read_number(element, key) if key in element.keys() else 0.0 for key in ("width", "height")]  # noqa: SIM118
    is_known = all(0 < side < 2**31 and side.is_integer() for side in sides)
    size = (int(sides[0]), int(sides[1])) if is_known else None
    return _Image(name, size_or_picture(size, name, options))


def _xml_annotations(image: Element, path: Path, tally: Tally) -> Iterator[list[Element]]:
    """Shapes by annotation: polygons of a group are parts of one."""
    groups: dict[Any, list[Element]] = {}
    for number, shape in enumerate(image):
        if shape.tag in _GEOMETRY:
            group = shape.get("group_id", "0")
            is_part = shape.tag == "polygon" and group not in ("", "0")
            groups.setdefault((shape.get("label"), group) if is_part else number, []).append(shape)
        elif shape.tag in _WITHOUT_AREA:
            tally.left_out[f"shapes of the type {shape.tag} have no area"].append(f"{path}, line {line_number(shape)}")
        else:
            tally.left_out[f"shapes of the type {shape.tag} are not known"].append(f"{path}, line {line_number(shape)}")
    yield from groups.values()


def _add(shapes: list[Element], image: _Image, path: Path, builder: CocoBuilder, tally: Tally) -> None:
    first, kind = shapes[0], shapes[0].tag
    more: dict[str, Any] = {"attributes": attributes} if (attributes := _attributes(first)) else {}
    if kind == "mask":
        box, mask = restored(None, _mask(first, image.size), image.name, tally)
    elif kind == "box" and not _turn(first):
        box, mask = _box_record(first), {}
    else:
        polygons = [_outline(shape) for shape in shapes]
        box, mask = box_around(polygons), polygon_record(polygons, image.size)
    label = first.get("label") or NO_CLASSES
    if not first.get("label"):
        tally.changed[_NO_LABEL].append(f"{path}, line {line_number(first)}")
    builder.annotation(label, box, more | mask)


def _box_record(shape: Element) -> list[float]:
    x0, y0, x1, y1 = (_read_number(shape, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    if not (x1 > x0 and y1 > y0):
        raise ValueError(f"the box {x0:g}, {y0:g}, {x1:g}, {y1:g} has no extent")
    return [x0, y0, round(x1 - x0, 4), round(y1 - y0, 4)]


def _outline(shape: Element) -> list[float]:
    """The polygon of a shape."""
    if shape.tag == "box":
        x, y, width, height = _box_record(shape)
        return turned(rectangle_corners(x, y, width, height), (x + width / 2, y + height / 2), _turn(shape))
    if shape.tag == "ellipse":
        x, y, radius_x, radius_y = (_read_number(shape, key) for key in ("cx", "cy", "rx", "ry"))
        return turned(ellipse_points(x, y, radius_x, radius_y), (x, y), _turn(shape))
    try:
        return [float(value) for point in shape.get("points", "").split(";") for value in _pair(point)]
    except ValueError:
        raise ValueError(f"its points are not x,y;x,y;x,y: {shape.get('points', '')[:40]!r}") from None


def _pair(point: str) -> tuple[str, str]:
    x, y = point.split(",")
    return x, y


def _mask(shape: Element, size: tuple[int, int]) -> Rle:
    """Run lengths of a window, row by row, the first of them zeros."""
    left, top, width, height = (round(_read_number(shape, key)) for key in ("left", "top", "width", "height"))
    is_inside = min(left, top) >= 0 and left + width <= size[0] and top + height <= size[1]
    if not (is_inside and width > 0 and height > 0 and width * height <= MAX_IMAGE_PIXELS):
        raise ValueError("the mask does not lie inside the image")
    try:
        lengths = [int(word) for word in shape.get("rle", "").split(",")]
    except ValueError:
        raise ValueError("the rle of the mask is not whole numbers with commas between them") from None
    if min(lengths) < 0 or sum(lengths) != width * height:
        raise ValueError(f"the rle of the mask has {sum(lengths)} pixels, and its window {width * height}")
    values = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    window = values.reshape(height, width)
    return rle_from_window(window, x0=left, y0=top, image_width=size[0], image_height=size[1])


def _turn(shape: Element) -> float:
    """Clockwise rotation of a shape in degrees."""
    return _read_number(shape, "rotation") if shape.get("rotation") else 0.0


def _read_number(element: Element, key: str) -> float:
    text = element.get(key, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{key} is {text!r}, not a number")
    return value


def _attributes(shape: Element) -> dict[str, str]:
    """Attributes of a shape: those of its label, and XML attributes other than coordinates."""
    place = {"label", *_GEOMETRY[shape.tag].split()}
    found = {name: value for name, value in own_attributes(shape).items() if name not in place}
    return found | {child.get("name", ""): (child.text or "").strip() for child in shape.iterfind("attribute")}


_XML = "annotations.xml"
_BLOCK = 2**20
_WANTED = "an archive of CVAT has one annotations/instances_*.json (COCO 1.0) or annotations.xml (CVAT for images 1.1)"


def read_cvat(path: Path, options: ReadOptions, tally: Tally) -> CocoFile:
    """Read an archive.

    Its annotation file is unpacked into a file without a name, of which nothing is left however the process ends.

    Raises:
        UserError: it is damaged, no archive of CVAT, or its annotations are too large for what they take in it.
    """
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryFile() as file:
            member = _annotations(archive, path)
            _check_size(member, path)
            with archive.open(member) as source:
                if member.filename == _XML:
                    return read_cvat_root(xml_root(source.read(), path), path, options, tally)
                _copy(source, file)
            return read_open_coco(path, file.fileno())
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UserError(f"{path} is damaged or no zip archive: {one_line(error)}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be unpacked: {error.strerror or error}") from error


def _annotations(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if _may_be_annotations(member.filename)]
    if len(members) != 1:
        found = ", ".join(member.filename for member in members) or "none"
        raise UserError(f"{path}: {_WANTED}, this one has {found}: unpack it and give what is in it")
    return members[0]


def _may_be_annotations(name: str) -> bool:
    return name == _XML or (name.endswith(".json") and (name.startswith("annotations/") or "/" not in name))


def _check_size(member: zipfile.ZipInfo, path: Path) -> None:
    """Refuse what would fill the disk, by the sizes that the archive declares; no more than those is unpacked."""
    size, packed = member.file_size, member.compress_size
    is_bomb = size > UNPACKED_BYTES_IN_ANY_CASE and size > MAX_UNPACKED_RATIO * packed
    if size > MAX_UNPACKED_BYTES or is_bomb:
        limit = f"at most {MAX_UNPACKED_BYTES:,} bytes and {MAX_UNPACKED_RATIO} times its packed size are unpacked"
        raise UserError(
            f"{path}: {member.filename} has {size:,} bytes, from {packed:,} in the archive, and {limit}:"
            " if you trust it, unpack it yourself and give that file"
        )


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while block := source.read(_BLOCK):
        target.write(block)
    target.flush()
