"""Atomic writes of text, JSON and CSV files.

Spreadsheets run a text that begins like a formula, and names are untrusted. A leading apostrophe, the spreadsheets'
own mark of a text, prevents that; `text_of_cell` removes it.
"""

from __future__ import annotations

import csv
import errno
import glob
import hashlib
import io
import json
import math
import os
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import orjson

from mal.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Errors of network and FUSE file systems that cannot sync a folder.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF)


_READ_BYTES = 2**20


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Raises:
        UserError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_READ_BYTES):
                digest.update(piece)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file atomically: it gets its name only once it is complete and on disk.

    Until the block ends without an error, ``path`` keeps its old content. Missing folders are created. Temporary files
    that a killed process left for the same path are removed.

    Raises:
        UserError: the file cannot be written (no permission, full disk, ``path`` is a folder).
    """
    # With the host name: process ids mean nothing on another machine that shares the folder.
    draft = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale_temp_files(path.parent, glob.escape(path.name))
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        _remove(draft)


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries to disk, so that a renamed file keeps its new name after a power failure."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def cannot_write(path: Path, error: OSError) -> UserError:
    """Make the UserError for a failed atomic write."""
    advice = "; files written before are intact, make room and start again" if error.errno in _FULL else ""
    return UserError(f"{path} cannot be written: {error.strerror or error}{advice}")


def disk_error(error: BaseException | None) -> OSError | None:
    """Find the operating system's error in a chain of errors; None if there is none."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def remove_stale_temp_files(folder: Path, name: str = "*") -> None:
    """Remove temporary files that killed processes of this machine have left in a folder.

    Args:
        folder: the folder, without its subfolders.
        name: glob pattern of the final file names.
    """
    for draft in folder.glob(f".{name}.{glob.escape(socket.gethostname())}.*.draft"):
        number = draft.name.split(".")[-2]
        if number.isdecimal() and not _is_running(int(number)):
            draft.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # on Windows the check would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _remove(draft: Path) -> None:
    # After success the temporary file is gone; if its folder could not be created or read, it never existed.
    if os.access(draft, os.F_OK):
        draft.unlink()


def dumps(value: Any, *, indent: bool = False) -> bytes:
    """Encode a value without NaN or infinity as strict JSON, compact or indented by two spaces."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None)
    except orjson.JSONEncodeError:
        # The fast writer refuses integers beyond 64 bits and lone surrogates.
        return json.dumps(value, allow_nan=False, indent=2 if indent else None).encode("ascii")


def without_non_finite(value: Any) -> tuple[Any, int]:
    """Replace every NaN and infinity by null; returns the JSON value and their number."""
    if isinstance(value, float) and not math.isfinite(value):
        return None, 1
    if isinstance(value, dict):
        finite = {key: without_non_finite(item) for key, item in value.items()}
        return {key: item for key, (item, _) in finite.items()}, sum(count for _, count in finite.values())
    if isinstance(value, list):
        items = [without_non_finite(item) for item in value]
        return [item for item, _ in items], sum(count for _, count in items)
    return value, 0


def write_object(file: BinaryIO, items: Iterable[tuple[str, bytes | Iterable[bytes]]]) -> None:
    """Stream a JSON object, a line for each of its values and for each record of its lists.

    Args:
        file: open for writing.
        items: keys, each with its value as JSON, or with the records of a list, each as JSON.
    """
    file.write(b"{")
    for index, (key, value) in enumerate(items):
        file.write((b",\n" if index else b"") + dumps(key) + b": ")
        if isinstance(value, bytes):
            file.write(value)
            continue
        file.write(b"[")
        for number, record in enumerate(value):
            file.write((b",\n" if number else b"\n") + record)
        file.write(b"]")
    file.write(b"}\n")


def write_json(value: Any, path: Path) -> None:
    """Write strict, indented JSON atomically.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_file(path) as file:
        file.write(dumps(value, indent=True) + b"\n")


# Also after a text's own apostrophes, so that removing one restores every text.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def write_csv(header: Sequence[str], rows: Iterable[Sequence[Any]], path: Path) -> None:
    """Write a table atomically as UTF-8 CSV with a header; fractions have six digits, None is empty.

    A text that a spreadsheet would run as a formula gets a leading apostrophe; numbers are unchanged.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_file(path) as file:
        # File names may hold bytes that are not Unicode.
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        table = csv.writer(_Lines(text))
        table.writerow(header)
        table.writerows([_cell(value) for value in row] for row in rows)
        text.detach()  # leaves the file open for its owner


class _Lines:
    """Ends lines with "\\n" that a `csv.writer` ends with "\\r\\n", without which it would not quote a "\\r"."""

    def __init__(self, text: TextIO) -> None:
        self._text = text

    def write(self, line: str) -> None:
        self._text.write(line.removesuffix("\r\n") + "\n")


def text_of_cell(cell: str) -> str:
    """Restore the text that `write_csv` was given for a cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    is_formula = isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value
