"""Read Pascal VOC boxes: an XML file for each image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from mal.data.coco import CocoFile
from mal.errors import UserError
from mal.formats.builder import CocoBuilder
from mal.formats.options import ReadOptions
from mal.formats.pictures import picture_size
from mal.formats.tally import Tally

_LINE = "line"  # attribute that holds where an element begins; VOC has no attributes of its own
_NO_ATTRIBUTES = {"name", "bndbox", "part"}  # children of an object that are more than a word about it


@dataclass(frozen=True)
class _Object:
    category: str
    xywh: tuple[float, float, float, float]
    attributes: dict[str, str]


def read_voc(path: Path, options: ReadOptions, tally: Tally) -> tuple[CocoFile, Path | None]:
    """Read the boxes of one XML file or of all in a folder.

    Edges count as pixel borders, as LabelImg, CVAT and Roboflow write them; with ``one_based`` as in the files of the
    Pascal VOC challenges, which count pixels from 1 and include the last. ``pose``, ``truncated``, ``difficult`` and
    the like are kept under ``attributes``. Classes are sorted by name.

    Args:
        path: an XML file, or a folder with such files or with a folder ``Annotations`` of them.
        options: ``one_based`` and ``images`` count; with the latter a picture that is missing is an error.
        tally: notes broken records.

    Returns:
        The file, and the folder of the pictures if it is known.

    Raises:
        UserError: a file is broken; it is named with the line.
    """
    folder = path / "Annotations" if (path / "Annotations").is_dir() else path
    files = [folder] if folder.is_file() else sorted(folder.glob("*.xml"))
    images = options.images
    if images is None and (folder.parent / "JPEGImages").is_dir():
        images = folder.parent / "JPEGImages"
    found: list[tuple[str, tuple[int, int], list[_Object]]] = []
    for file in files:
        try:
            root = _parsed(file)
            if root.tag != "annotation":
                raise UserError(f"{file}: not a Pascal VOC file: its root is <{root.tag}>, not <annotation>")
            size = _size(root, file, images)
            objects = list(_objects(root, file, options, tally))
            found.append((_file_name(root, file), size, objects))
        except UserError as error:
            if not tally.skip_broken:
                raise
            tally.broken(str(file), str(error))
    builder = CocoBuilder(sorted({item.category for *_, objects in found for item in objects}))
    for name, size, objects in found:
        builder.image(name, size)
        for item in objects:
            more = {"attributes": item.attributes} if item.attributes else {}
            builder.annotation(item.category, item.xywh, more)
    return builder.build(path, tally), images


def _parsed(path: Path) -> Element:
    """The root of an XML file; definitions of entities, which can blow a file up or read others, are refused."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(tag, attributes | {_LINE: str(parser.CurrentLineNumber)})

    def refuse(*_: object) -> None:
        raise UserError(f"{path}, line {parser.CurrentLineNumber}: a DOCTYPE, which no annotation needs: refused")

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise UserError(f"{path}, line {error.lineno}: not valid XML: {reason}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    return builder.close()


def _text(element: Element, name: str) -> str:
    return (element.findtext(name) or "").strip()


def _file_name(root: Element, file: Path) -> str:
    # Some tools write a whole path, of a machine that is not this one.
    name = _text(root, "filename").replace("\\", "/").rpartition("/")[2]
    return name or f"{file.stem}.jpg"


def _size(root: Element, file: Path, images: Path | None) -> tuple[int, int]:
    if images is not None:
        return picture_size(images / _file_name(root, file))
    width, height = (_text(root, f"size/{name}") for name in ("width", "height"))
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UserError(f"{file}: no <size> with a width and a height in it; --images DIR takes them from the pictures")
    return int(width), int(height)


def _objects(root: Element, file: Path, options: ReadOptions, tally: Tally) -> Iterator[_Object]:
    for element in root.iter("object"):
        try:
            yield _object(element, options)
        except ValueError as error:
            tally.broken(f"{file}, line {element.get(_LINE)}", str(error))


def _object(element: Element, options: ReadOptions) -> _Object:
    category = _text(element, "name")
    if not category:
        raise ValueError("the object has no name")
    edges = []
    for name in ("xmin", "ymin", "xmax", "ymax"):
        text = _text(element, f"bndbox/{name}")
        try:
            edges.append(float(text))
        except ValueError:
            raise ValueError(f"<{name}> is {text!r}, not a number") from None
    if options.one_based:
        edges[:2] = [edges[0] - 1, edges[1] - 1]
    xywh = (edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1])
    if not (0 < xywh[2] < 1e9 and 0 < xywh[3] < 1e9):
        raise ValueError(f"the box {', '.join(f'{edge:g}' for edge in edges)} has no extent")
    others = {child.tag: (child.text or "").strip() for child in element if child.tag not in _NO_ATTRIBUTES}
    return _Object(category, xywh, others)
