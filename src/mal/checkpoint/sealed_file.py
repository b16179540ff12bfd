"""A checkpoint's bytes, checked before anything in them is used: by their digest, or by decrypting them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, cast

from mal.checkpoint.digest import DigestWriter, digest_is_wrong, has_digest
from mal.checkpoint.encryption import DecryptingReader, EncryptingWriter, is_encrypted
from mal.checkpoint.safetensors_file import SUFFIX, has_safetensors_digest
from mal.config.secrets import KEY_VARIABLE
from mal.errors import DamagedFile, LockedFile, UserError

Seal = Literal["sha256", "aes-256-gcm"]
"""How a file shows that it is as it was written."""


@contextmanager
def sealed_writing(file: IO[bytes], encryption_key: str | None) -> Iterator[IO[bytes]]:
    """Write a zip archive to a file: encrypted where there is a key, else with its digest.

    It is complete only where the block ends without an error.
    """
    writer = EncryptingWriter(file, encryption_key) if encryption_key else DigestWriter(file)
    yield cast("IO[bytes]", writer)
    writer.finish()


@contextmanager
def checked_reading(path: Path, encryption_key: str | None) -> Iterator[IO[bytes]]:
    """Open a file that is encrypted, carries a digest, or neither, for reading what was written to it.

    It is read once for the check, in pieces; nothing in clear is written anywhere.

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


def seal_of(path: Path) -> Seal | None:
    """What a file carries to be checked by; whether that is right, reading it tells."""
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
