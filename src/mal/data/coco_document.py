"""Open a COCO file: long lists of records stay on the disk, all else is parsed; damage is an error with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mal.data import json_in
from mal.data.json_file import JsonFile, UnparsedError
from mal.data.json_outline import Outline, outline
from mal.data.json_records import JsonRecords
from mal.errors import UserError

COCO_FILE = 'a COCO file is a JSON object with the lists "images", "annotations" and "categories"'

Records = JsonRecords | list


def read_document(path: Path) -> tuple[Any, bool]:
    """Read a JSON file, of any size if it has the form of a COCO file.

    Returns:
        The value, in which lists of objects directly below the top level are `JsonRecords`; and whether it is strict
        JSON, without NaN and Infinity.

    Raises:
        UserError: the file is missing, empty or not JSON (with line and column).
    """
    if path.is_file():  # and no pipe, which can be read only once
        try:
            return _read_in_parts(JsonFile(path))
        except (UnparsedError, OSError):
            pass  # reading it as a whole will find what is wrong, and where
    return _read_whole(path)


def _read_in_parts(file: JsonFile) -> tuple[Any, bool]:
    """Parse the top level with a stand-in for each list and object, then those one by one."""
    found = outline(file)
    pieces, end = [], file.start
    for index, (start, stop) in enumerate(found.values.tolist()):
        pieces += [file.read(end, start), b"[%d]" % index]
        end = stop
    document = file.parse(b"".join([*pieces, file.read(end, file.size)]))
    if isinstance(document, dict):
        for key, value in document.items():
            if isinstance(value, list):
                document[key] = _value(file, found, value[0])
    return document, file.strict_json


def _value(file: JsonFile, found: Outline, index: int) -> Any:
    start, stop = found.values[index].tolist()
    records = found.records_in(index)
    if len(records) and file.read(start, start + 1) == b"[":
        try:
            on_disk = JsonRecords(file, (start, stop), records)
            for _ in on_disk:
                pass  # so that damage is found now and not hours later
            return on_disk
        except UnparsedError:
            pass  # a list of more than objects can still be parsed as a whole
    return file.parse(file.read(start, stop))


def _read_whole(path: Path) -> tuple[Any, bool]:
    raw = _read_bytes(path)
    try:
        return json_in.loads(raw)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8 JSON") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        if not raw.rstrip().endswith((b"}", b"]")):
            raise UserError(f"{path} is cut off or no JSON: {error.msg} at {where}; copy or export it again") from error
        raise UserError(f"{path} is not valid JSON: {error.msg} at {where}") from error
    except (RecursionError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from error


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the COCO annotation file (.json) itself")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: give the path of a COCO annotation file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    raw = raw.removeprefix(json_in.BYTE_ORDER_MARK)
    if not raw.strip():
        raise UserError(f"{path} is empty: {COCO_FILE}")
    return raw
