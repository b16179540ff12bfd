"""A JSON file that stays on the disk, to be parsed in parts."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

from mal.data import json_in
from mal.errors import UserError


class UnparsedError(Exception):
    """A part of the file is not what reading in parts takes: damaged, or of another form."""


class JsonFile:
    """Bytes of a file and the values in them.

    The file stays open, so that nobody can take it away during a long run.

    Args:
        path: a file in UTF-8; for messages alone where a descriptor is given.
        descriptor: an open file without a name, in place of the one at ``path``; the caller may close it.

    Attributes:
        path: as given.
        start: where the text begins; a byte-order mark is left out.
        size: bytes of the file.
        strict_json: False once a part was parsed in which a number is NaN or infinite, for which strict JSON has no
            place.

    Raises:
        OSError: the file cannot be opened or is no plain file.
    """

    def __init__(self, path: Path, descriptor: int | None = None) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY) if descriptor is None else os.dup(descriptor)
        weakref.finalize(self, os.close, self._descriptor)
        self._state = self._state_now()
        self.size = self._state[0]
        self.start = len(json_in.BYTE_ORDER_MARK) if self.read(0, 3) == json_in.BYTE_ORDER_MARK else 0
        self.strict_json = True

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from ``start`` to ``stop``.

        Raises:
            UserError: the file is not the one that was opened any more.
        """
        if self._state_now() != self._state:
            raise UserError(f"{self.path} was changed while it was in use: run the command again")
        pieces = []
        while start < min(stop, self.size):
            pieces.append(os.pread(self._descriptor, stop - start, start))  # at most 2 GiB at a time
            start += len(pieces[-1])
        return b"".join(pieces)

    def parse(self, text: bytes) -> Any:
        """The value of a text that was read here.

        Raises:
            UnparsedError: it is no JSON.
            UserError: a key is twice in an object.
        """
        try:
            value, strict = json_in.loads(text)
        except json_in.DoubledKeyError as error:
            raise UserError(f"{self.path}: {error}") from error
        except (ValueError, RecursionError) as error:
            raise UnparsedError(str(error)) from error
        self.strict_json &= strict
        return value

    def _state_now(self) -> tuple[int, int]:
        state = os.fstat(self._descriptor)
        return state.st_size, state.st_mtime_ns
