"""Open a COCO file: in parts, its long lists left on the disk; or as a whole, damage being an error with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mal.data import json_in
from mal.data.json_file import JsonFile
from mal.data.json_outline import Outline, outline
from mal.data.json_records import JsonRecords
from mal.errors import UserError
from mal.file_kinds import HEAD_BYTES, said_kind

COCO_FILE = 'a COCO file is a JSON object with the lists "images", "annotations" and "categories"'

Records = JsonRecords | list


def document_in_parts(file: JsonFile) -> Any:
    """The value of a file of any size, in which lists of objects directly below the top level are `JsonRecords`.

    The records are not parsed yet: who needs to know that they are sound must iterate over them.

    Raises:
        UnparsedError: the rest is no JSON.
    """
    found = outline(file)
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


def _value(file: JsonFile, found: Outline, index: int) -> Any:
    start, stop = found.values[index].tolist()
    records = found.records_in(index)
    if len(records) and file.read(start, start + 1) == b"[":
        return JsonRecords(file, (start, stop), records)
    return file.parse(file.read(start, stop))


def document_as_a_whole(path: Path) -> tuple[Any, bool]:
    """The value of a file, parsed at once; and whether it is strict JSON, without NaN and Infinity.

    Raises:
        UserError: the file is missing, empty or not JSON (with line and column); or a key is twice in an object.
    """
    return parsed_document(_read_bytes(path), path)


def parsed_document(raw: bytes, path: Path) -> tuple[Any, bool]:
    """As `document_as_a_whole`, of the bytes of a file that messages call ``path``."""
    try:
        return json_in.loads(raw)
    except json_in.DoubledKeyError as error:
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
    """The user's error for a sound file that is too large for this machine."""
    return UserError(f"{path}: there is not enough memory to read it")


def _damage(raw: bytes, path: Path, error: UnicodeDecodeError | json.JSONDecodeError) -> UserError:
    """Where a JSON file is damaged."""
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
    raw = raw.removeprefix(json_in.BYTE_ORDER_MARK)
    if not raw.strip():
        raise UserError(f"{path} is empty: {COCO_FILE}")
    return raw
