"""Read and check a COCO file; problems in single records become notes, not errors."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mal.coco import lazy_json
from mal.coco.lazy_json import JsonFile, JsonIndex, JsonRecords, UnparsedError, index_json
from mal.coco.notes import RecordNote
from mal.coco.tables import AnnotationTable, ImageRecord, ImageTable
from mal.errors import UserError
from mal.file_kinds import HEAD_BYTES, said_kind
from mal.limits import MAX_MASK_PIXELS
from mal.paths import local_copy, to_path

COCO_FILE = 'a COCO file is a JSON object with the lists "images", "annotations" and "categories"'

Records = JsonRecords | list


def parse_document_in_parts(file: JsonFile) -> Any:
    """Parse a file of any size; lists of objects directly below the top level become `JsonRecords`.

    Records are parsed on access. Iterate over them to find damage.

    Raises:
        UnparsedError: the rest is not valid JSON.
    """
    found = index_json(file)
    pieces, end = [], file.start
    for index, (start, stop) in enumerate(found.values.tolist()):
        pieces += [file.read(end, start), b"[%d]" % index]  # a stand-in for each list and object
        end = stop
    document = file.parse(b"".join([*pieces, file.read(end, file.size)]))
    if isinstance(document, dict):
        for key, value in document.items():
            if isinstance(value, list):
                document[key] = _value(file, found, value[0])
    return document


def _value(file: JsonFile, found: JsonIndex, index: int) -> Any:
    start, stop = found.values[index].tolist()
    records = found.records_in(index)
    if len(records) and file.read(start, start + 1) == b"[":
        return JsonRecords(file, (start, stop), records)
    return file.parse(file.read(start, stop))


def parse_whole_document(path: Path) -> tuple[Any, bool]:
    """Parse a whole file at once; also return whether it is strict JSON, without NaN and Infinity.

    Raises:
        UserError: the file is missing, empty or not JSON (with line and column); or a key is twice in an object.
    """
    return parsed_document(_read_bytes(path), path)


def parsed_document(raw: bytes, path: Path) -> tuple[Any, bool]:
    """As `parse_whole_document`, of the bytes of a file that messages call ``path``."""
    try:
        return lazy_json.loads(raw)
    except lazy_json.DoubledKeyError as error:
        raise UserError(f"{path}: {error}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        said = said_kind(raw[:HEAD_BYTES], "a JSON file", "json", "text")
        if said is not None:
            raise UserError(f"{path} {said}") from error
        raise _damage(raw, path, error) from error
    except MemoryError as error:
        raise no_memory(path) from error
    except (RecursionError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from error


def no_memory(path: Path) -> UserError:
    """Make the error for a valid file that does not fit into memory."""
    return UserError(f"{path}: there is not enough memory to read it")


def _damage(raw: bytes, path: Path, error: UnicodeDecodeError | json.JSONDecodeError) -> UserError:
    """Make the error that names where a JSON file is damaged."""
    if isinstance(error, UnicodeDecodeError):
        return UserError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8 JSON")
    where = f"line {error.lineno}, column {error.colno}"
    if not raw.rstrip().endswith((b"}", b"]")):
        return UserError(f"{path} is cut off or no JSON: {error.msg} at {where}; copy or export it again")
    return UserError(f"{path} is not valid JSON: {error.msg} at {where}")


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the COCO annotation file (.json) itself")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: give the path of a COCO annotation file") from None
    except MemoryError as error:
        raise no_memory(path) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    raw = raw.removeprefix(lazy_json.BYTE_ORDER_MARK)
    if not raw.strip():
        raise UserError(f"{path} is empty: {COCO_FILE}")
    return raw


@dataclass
class CocoFile:
    """A COCO file, indexed; its records stay in the file until they are needed.

    Attributes:
        path: where it was read.
        document: the keys of the whole file, in its order and with its values; the label file is written from it. Lists
            of objects are `JsonRecords`.
        images: usable image records by id.
        table: the annotations in columns.
        unusable_images: why an image id cannot be used (no file name, two different records), by id.
        oversized_images: why no mask can be made for an image, whose record says a size that no mask can have, by id.
        categories: name by category id.
        notes: what is odd about images, categories and the file.
        strict_json: False if a number in the file is NaN or infinite, for which strict JSON has no place.
    """

    path: Path
    document: dict[str, Any]
    images: ImageTable = field(default_factory=ImageTable)
    table: AnnotationTable = field(default_factory=AnnotationTable)
    unusable_images: dict[int | str, str] = field(default_factory=dict)
    oversized_images: dict[int | str, str] = field(default_factory=dict)
    categories: dict[Any, str] = field(default_factory=dict)
    notes: list[RecordNote] = field(default_factory=list)
    strict_json: bool = True

    @property
    def annotations(self) -> Records:
        """The list of annotations. Damaged files may hold entries that are no dicts."""
        return self.document["annotations"]


def read_coco(path: Path) -> CocoFile:
    """Read and check a COCO file.

    Args:
        path: a JSON file, or a URL of one as of `mal.paths.to_path`; a UTF-8 byte-order mark and the bare tokens NaN
            and Infinity are accepted.

    Returns:
        The file with its index. Damaged records are left in place: `mal.coco.boxes.select_boxes` names them.

    Raises:
        UserError: the file is missing, empty, not JSON (with line and column) or not a COCO file.
    """
    path = to_path(path)
    local = local_copy(path)
    if local.is_file():  # and no pipe, which can be read only once
        try:
            return _in_parts(path, JsonFile(local))
        except MemoryError as error:
            raise no_memory(path) from error
        except (UnparsedError, OSError):
            pass  # parsed as a whole below, which names the position of any damage
    return _as_a_whole(path, *parse_whole_document(path))


def read_open_coco(path: Path, descriptor: int) -> CocoFile:
    """As `read_coco`, of a file that has no name any more, as one that came out of an archive.

    Args:
        path: what messages call it.
        descriptor: of the open file; the caller may close it.
    """
    file = JsonFile(path, descriptor)
    try:
        return _in_parts(path, file)
    except UnparsedError:
        return _as_a_whole(path, *parsed_document(file.read(file.start, file.size), path))


def _in_parts(path: Path, file: JsonFile) -> CocoFile:
    coco = indexed(path, parse_document_in_parts(file))
    coco.strict_json = file.strict_json
    return coco


def _as_a_whole(path: Path, document: Any, strict_json: bool) -> CocoFile:
    coco = indexed(path, document)
    coco.strict_json = strict_json
    return coco


def indexed(path: Path, document: Any) -> CocoFile:
    """Index a parsed document; parses every record once, so that damage is found before the run.

    Raises:
        UserError: the document is no COCO file; ``path`` is named.
    """
    if not isinstance(document, dict):
        kind = "a list" if isinstance(document, list) else "a single value"
        raise UserError(f"{path}: the top level is {kind}, but {COCO_FILE}")
    for key in ("images", "annotations"):
        if key not in document:
            raise UserError(f'{path}: the key "{key}" is missing: {COCO_FILE}')
        if not isinstance(document[key], Records):
            raise UserError(f'{path}: "{key}" is not a list: {COCO_FILE}')
    coco = CocoFile(path, document)
    _index_images(coco)
    _index_categories(coco)
    coco.table = AnnotationTable(coco.annotations, coco.images)
    for key, value in document.items():
        if isinstance(value, JsonRecords) and key not in ("images", "annotations", "categories"):
            for _ in value:
                pass
    return coco


def is_id(value: Any) -> bool:
    """Whether a JSON value can be an id: a string or a finite number."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return False
    return not isinstance(value, float) or math.isfinite(value)


def show(value: Any, limit: int = 60) -> str:
    """A JSON value on one short line, for messages."""
    try:
        text = _encodable(json.dumps(value, ensure_ascii=False, default=str))
    except RecursionError:
        return "a value that is nested too deep to be shown"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _encodable(text: str) -> str:
    """Escape lone surrogates, which cannot be printed."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _index_images(coco: CocoFile) -> None:
    images: dict[int | str, ImageRecord] = {}
    for position, record in enumerate(coco.document["images"]):
        image_id = record.get("id") if isinstance(record, dict) else None
        where = f"images[{position}]"
        if not isinstance(record, dict):
            _warn(coco, None, f"{where} is {show(record)}, not an object: it is ignored")
        elif not is_id(image_id):
            _warn(coco, None, f"{where} has no usable id ({show(image_id)}): no annotation can refer to it")
        else:
            _index_image(coco, images, position, record)
    coco.images = ImageTable(images.values())


def _index_image(coco: CocoFile, images: dict[int | str, ImageRecord], position: int, record: dict[str, Any]) -> None:
    image_id, file_name = record["id"], record.get("file_name")
    if not isinstance(file_name, str) or not _can_be_printed(file_name):
        url = record.get("coco_url", record.get("flickr_url"))
        advice = f": write the last part of its URL, {show(url)}, into file_name" if isinstance(url, str) else ""
        reason = f"image {show(image_id)} has no file name (file_name is {show(file_name)}){advice}"
        coco.unusable_images.setdefault(image_id, reason)
        images.pop(image_id, None)
        _warn(coco, image_id, reason)
        return
    width, height = _pixels(record.get("width")), _pixels(record.get("height"))
    if not width or not height:
        sizes = f"{show(record.get('width'))} x {show(record.get('height'))}"
        _warn(coco, image_id, f"image {show(image_id)} ({file_name}) has no valid size in the file ({sizes})")
        width = height = 0
    elif width * height > MAX_MASK_PIXELS:
        reason = f"image {show(image_id)} ({file_name}) has no valid size in the file: no mask can be as large as"
        coco.oversized_images[image_id] = f"{reason} {width} x {height} pixels"
        _warn(coco, image_id, coco.oversized_images[image_id])
        width = height = 0
    _add_image(coco, images, ImageRecord(image_id, file_name, width, height, position))


def _can_be_printed(file_name: str) -> bool:
    """False for the empty name and for lone surrogates, which fail on the terminal and in most file systems."""
    return file_name.encode("utf-8", "ignore").decode("utf-8") == file_name != ""


def _add_image(coco: CocoFile, images: dict[int | str, ImageRecord], image: ImageRecord) -> None:
    first = images.get(image.id)
    if first is None:
        if image.id not in coco.unusable_images:
            images[image.id] = image
        return
    twice = f"image id {show(image.id)} is used twice, at images[{first.position}] and images[{image.position}]"
    if (first.file_name, first.width, first.height) == (image.file_name, image.width, image.height):
        _warn(coco, image.id, f"{twice}, for the same picture")
        return
    reason = f"{twice}, for different pictures ({first.file_name}, {image.file_name}): its boxes could belong to either"
    coco.unusable_images[image.id] = reason
    del images[image.id]
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
    if not isinstance(categories, Records):
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
            coco.categories[category_id] = _encodable(str(record.get("name", category_id)))


def category_name(coco: CocoFile, category_id: Any) -> str:
    """The name of a category, or its id as text where the file has no such category."""
    return coco.categories[category_id] if is_id(category_id) and category_id in coco.categories else show(category_id)


def category_is_known(coco: CocoFile, category_id: Hashable) -> bool:
    """Whether the file's ``categories`` list has this id; True for any id when the file has no categories at all."""
    return not coco.categories or (is_id(category_id) and category_id in coco.categories)


def _warn(coco: CocoFile, image_id: Any, reason: str) -> None:
    coco.notes.append(RecordNote(None, None, image_id, "warned", reason))
