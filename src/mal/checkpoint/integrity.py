"""Verify checkpoint files, by digest or by decryption, before anything in them is used.

PyTorch's checkpoints are zip archives. The digest lies in the zip comment, which every reader skips, so other programs
can read the file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast

from mal.checkpoint.encryption import DecryptingReader, EncryptingWriter, is_encrypted
from mal.checkpoint.safetensors_file import SUFFIX, has_safetensors_digest
from mal.config.schema import KEY_VARIABLE
from mal.errors import DamagedFile, LockedFile, UserError

if TYPE_CHECKING:
    from typing_extensions import Buffer


_PREFIX = b"mal-sha256:"
_COMMENT_BYTES = len(_PREFIX) + 2 * hashlib.sha256().digest_size
_LENGTH_BYTES = 2  # the archive's last field, in front of the comment: its length
_READ_BYTES = 2**20


class DigestWriter:
    """A writer that passes an archive on to a file and appends its digest.

    Args:
        file: open for writing.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._end = b""  # of what was written so far: the length of the comment, once all of it was

    def write(self, data: Buffer) -> int:
        """Add to the archive."""
        view = memoryview(data).cast("B")
        start = len(view) - _LENGTH_BYTES
        if start < 0:
            ready, self._end = (self._end + bytes(view))[:-_LENGTH_BYTES], (self._end + bytes(view))[-_LENGTH_BYTES:]
            self._pass_on(ready)
        else:
            self._pass_on(self._end)
            self._pass_on(view[:start])
            self._end = bytes(view[start:])
        return len(view)

    def flush(self) -> None:
        """Nothing to do before the end."""

    def finish(self) -> None:
        """Write the digest.

        Raises:
            ValueError: what was written does not end like a zip archive without a comment.
        """
        if self._end != bytes(_LENGTH_BYTES):
            raise ValueError("not a zip archive, or one with a comment of its own")
        self._pass_on(_COMMENT_BYTES.to_bytes(_LENGTH_BYTES, "little"))
        self._file.write(_PREFIX + self._digest.hexdigest().encode("ascii"))

    def _pass_on(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self._file.write(data)


def has_digest(file: IO[bytes]) -> bool:
    """Whether a file ends with a digest, right or wrong."""
    return _stated(file) is not None


def digest_is_wrong(file: IO[bytes]) -> bool:
    """Whether the content of a file does not match its digest; False without a digest.

    Reads the file once, in pieces, and rewinds it.
    """
    stated = _stated(file)
    if stated is None:
        return False
    left = file.seek(0, os.SEEK_END) - _COMMENT_BYTES
    digest = hashlib.sha256()
    file.seek(0)
    while left and (piece := file.read(min(left, _READ_BYTES))):
        digest.update(piece)
        left -= len(piece)
    file.seek(0)
    return digest.hexdigest() != stated


def _stated(file: IO[bytes]) -> str | None:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _COMMENT_BYTES, 0))
    comment = file.read(_COMMENT_BYTES)
    file.seek(0)
    is_ours = len(comment) == _COMMENT_BYTES and comment.startswith(_PREFIX)
    return comment.removeprefix(_PREFIX).decode("ascii", "replace") if is_ours else None


Seal = Literal["sha256", "aes-256-gcm"]
"""How the integrity of a file is verified."""


@contextmanager
def sealed_writing(file: IO[bytes], encryption_key: str | None) -> Iterator[IO[bytes]]:
    """Write a zip archive to a file: encrypted where there is a key, else with its digest.

    The file is complete only if the block ends without an error.
    """
    writer = EncryptingWriter(file, encryption_key) if encryption_key else DigestWriter(file)
    yield cast("IO[bytes]", writer)
    writer.finish()


@contextmanager
def checked_reading(path: Path, encryption_key: str | None) -> Iterator[IO[bytes]]:
    """Verify a file and open it for reading, whether it is encrypted, has a digest, or neither.

    Verification reads the file once, in pieces; no decrypted data is written anywhere.

    Raises:
        UserError: it cannot be opened.
        LockedFile: it needs another key than the one given.
        DamagedFile: it is not as it was written.
    """
    try:
        with path.open("rb") as file:
            yield _content(file, path, encryption_key)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_seal(path: Path) -> Seal | None:
    """Read how a file can be verified, without verifying it; None if it cannot."""
    if path.suffix == SUFFIX:
        return "sha256" if has_safetensors_digest(path) else None
    with path.open("rb") as file:
        if is_encrypted(file):
            return "aes-256-gcm"
        return "sha256" if has_digest(file) else None


def _content(file: IO[bytes], path: Path, encryption_key: str | None) -> IO[bytes]:
    if not is_encrypted(file):
        if digest_is_wrong(file):
            raise DamagedFile(
                f"{path}: damaged: it was changed since it was written (its SHA-256 is another); take a copy of it,"
                " or another checkpoint"
            )
        return file
    if not encryption_key:
        raise LockedFile(
            f"{path}: encrypted; give its key as encryption_key in the spec or as {KEY_VARIABLE} in the environment"
        )
    reader = DecryptingReader(file, path, encryption_key)
    reader.check()
    return cast("IO[bytes]", reader)
