"""Read a COCO file and check it as a whole; what is wrong with single records becomes notes, never an error."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from mal.data.notes import RecordNote
from mal.errors import UserError

_COCO_FILE = 'a COCO file is a JSON object with the lists "images", "annotations" and "categories"'
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One usable record of ``images``.

    Attributes:
        id: as in the file; numbers and strings never match each other.
        file_name: as in the file, relative to the image folder.
        width, height: pixels of the stored orientation; both 0 while unknown, because the record has no valid size
            (see `mal.data.images.fill_missing_sizes`).
        position: index in the file's ``images`` list.
    """

    id: int | str
    file_name: str
    width: int
    height: int
    position: int

    @property
    def has_size(self) -> bool:
        """Whether width and height are known."""
        return self.width > 0


@dataclass
class CocoFile:
    """A parsed COCO file.

    Attributes:
        path: where it was read.
        document: the whole file as parsed, untouched; the label file is written from it.
        images: usable image records by id.
        unusable_images: why an image id cannot be used (no file name, two different records), by id.
        annotations: the ``annotations`` list of the document itself. Damaged files may hold entries that are no dicts.
        categories: name by category id.
        notes: what is odd about images, categories and the file.
        strict_json: False if the file holds NaN, Infinity or other tokens that strict JSON has no place for.
    """

    path: Path
    document: dict[str, Any]
    images: dict[int | str, ImageRecord]
    annotations: list[Any]
    categories: dict[Any, str]
    notes: list[RecordNote] = field(default_factory=list)
    unusable_images: dict[int | str, str] = field(default_factory=dict)
    strict_json: bool = True


def read_coco(path: Path) -> CocoFile:
    """Read and check a COCO file.

    Args:
        path: a JSON file; a UTF-8 byte-order mark and the bare tokens NaN and Infinity are accepted.

    Returns:
        The file with its index. Damaged records are left in place: `mal.data.boxes.select_boxes` names them.

    Raises:
        UserError: the file is missing, empty, not JSON (with line and column) or not a COCO file.
    """
    path = Path(path)
    document, strict_json = _parse(path, _read_bytes(path))
    if not isinstance(document, dict):
        kind = "a list" if isinstance(document, list) else "a single value"
        raise UserError(f"{path}: the top level is {kind}, but {_COCO_FILE}")
    for key in ("images", "annotations"):
        if key not in document:
            raise UserError(f'{path}: the key "{key}" is missing: {_COCO_FILE}')
        if not isinstance(document[key], list):
            raise UserError(f'{path}: "{key}" is not a list: {_COCO_FILE}')
    coco = CocoFile(path, document, {}, document["annotations"], {}, strict_json=strict_json)
    _index_images(coco)
    _index_categories(coco)
    return coco


def is_id(value: Any) -> bool:
    """Whether a JSON value can be an id: a string or a finite number."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return False
    return not isinstance(value, float) or math.isfinite(value)


def show(value: Any, limit: int = 60) -> str:
    """A JSON value on one short line, for messages."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the COCO annotation file (.json) itself")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: give the path of a COCO annotation file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    raw = raw.removeprefix(_BYTE_ORDER_MARK)
    if not raw.strip():
        raise UserError(f"{path} is empty: {_COCO_FILE}")
    return raw


def _parse(path: Path, raw: bytes) -> tuple[Any, bool]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _parse_lenient(path, raw), False
    if _has_rounded_ids(document):
        return _parse_lenient(path, raw), True
    return document, True


def _parse_lenient(path: Path, raw: bytes) -> Any:
    """What the fast parser refuses or rounds (NaN, Infinity, integers beyond 64 bits), and errors with a position."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8 JSON") from error
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        if not text.rstrip().endswith(("}", "]")):
            raise UserError(f"{path} is cut off or no JSON: {error.msg} at {where}; copy or export it again") from error
        raise UserError(f"{path} is not valid JSON: {error.msg} at {where}") from error
    except (RecursionError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from error


def _has_rounded_ids(document: Any) -> bool:
    """The fast parser turns integers beyond 64 bits into floats; an id must not change."""
    if not isinstance(document, dict):
        return False
    keys = ("id", "image_id", "category_id")
    for name in ("images", "annotations", "categories"):
        records = document.get(name)
        for record in records if isinstance(records, list) else ():
            if isinstance(record, dict) and any(
                type(record.get(key)) is float and abs(record[key]) >= 2**63 for key in keys
            ):
                return True
    return False


def _index_images(coco: CocoFile) -> None:
    for position, record in enumerate(coco.document["images"]):
        image_id = record.get("id") if isinstance(record, dict) else None
        where = f"images[{position}]"
        if not isinstance(record, dict):
            _warn(coco, None, f"{where} is {show(record)}, not an object: it is ignored")
        elif not is_id(image_id):
            _warn(coco, None, f"{where} has no usable id ({show(image_id)}): no annotation can refer to it")
        else:
            _index_image(coco, position, record)


def _index_image(coco: CocoFile, position: int, record: dict[str, Any]) -> None:
    image_id, file_name = record["id"], record.get("file_name")
    if not isinstance(file_name, str) or not _can_be_printed(file_name):
        reason = f"image {show(image_id)} has no file name (file_name is {show(file_name)})"
        coco.unusable_images.setdefault(image_id, reason)
        coco.images.pop(image_id, None)
        _warn(coco, image_id, reason)
        return
    width, height = _pixels(record.get("width")), _pixels(record.get("height"))
    if not width or not height:
        sizes = f"{show(record.get('width'))} x {show(record.get('height'))}"
        _warn(coco, image_id, f"image {show(image_id)} ({file_name}) has no valid size in the file ({sizes})")
        width = height = 0
    _add_image(coco, ImageRecord(image_id, file_name, width, height, position))


def _can_be_printed(file_name: str) -> bool:
    """False for the empty name and for lone surrogates, which fail on the terminal and in most file systems."""
    return file_name.encode("utf-8", "ignore").decode("utf-8") == file_name != ""


def _add_image(coco: CocoFile, image: ImageRecord) -> None:
    first = coco.images.get(image.id)
    if first is None:
        if image.id not in coco.unusable_images:
            coco.images[image.id] = image
        return
    twice = f"image id {show(image.id)} is used twice, at images[{first.position}] and images[{image.position}]"
    if (first.file_name, first.width, first.height) == (image.file_name, image.width, image.height):
        _warn(coco, image.id, f"{twice}, for the same picture")
        return
    reason = f"{twice}, for different pictures ({first.file_name}, {image.file_name}): its boxes could belong to either"
    coco.unusable_images[image.id] = reason
    del coco.images[image.id]
    _warn(coco, image.id, reason)


def _pixels(value: Any) -> int:
    """A side length in whole pixels, or 0 where the value is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0
    if value != value or not 0 < value < 2**31 or value != int(value):
        return 0
    return int(value)


def _index_categories(coco: CocoFile) -> None:
    categories = coco.document.get("categories")
    if not isinstance(categories, list):
        state = "is missing" if "categories" not in coco.document else "is not a list"
        _warn(coco, None, f'the key "categories" {state}: masks need no classes, so labelling goes on without them')
        return
    for position, record in enumerate(categories):
        category_id = record.get("id") if isinstance(record, dict) else None
        if not isinstance(record, dict) or not is_id(category_id):
            _warn(coco, None, f"categories[{position}] has no usable id: it is ignored")
        elif category_id in coco.categories:
            _warn(coco, None, f"category id {show(category_id)} is used twice; the first name is used")
        else:
            coco.categories[category_id] = str(record.get("name", category_id))


def category_name(coco: CocoFile, category_id: Any) -> str:
    """The name of a category, or its id as text where the file has no such category."""
    return coco.categories[category_id] if is_id(category_id) and category_id in coco.categories else show(category_id)


def category_is_known(coco: CocoFile, category_id: Hashable) -> bool:
    """Whether the file's ``categories`` list has this id; True for any id when the file has no categories at all."""
    return not coco.categories or (is_id(category_id) and category_id in coco.categories)


def _warn(coco: CocoFile, image_id: Any, reason: str) -> None:
    coco.notes.append(RecordNote(None, None, image_id, "warned", reason))
