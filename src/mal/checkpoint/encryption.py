"""Encrypted files: AES-256-GCM in chunks, the key made from a password by scrypt.

    header   magic and version, cost of scrypt, bytes in a block, salt, nonce prefix, key check, checksum
    blocks   each as long as its content and 16 bytes more; the last one may be shorter

The nonce of a block is made of the file's prefix, the block's number and whether it is the last; the whole header is
associated data: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance", 2015). So changed, swapped, missing and added blocks are detected. The key check
distinguishes a wrong password from a damaged file, the checksum a damaged header from a wrong password.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mal.config.schema import KEY_VARIABLE
from mal.errors import DamagedFile, LockedFile, UserError

if TYPE_CHECKING:  # cryptography is loaded for encrypted files only
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from typing_extensions import Buffer

# Large enough that the cost of a call and the 16 bytes of a tag vanish, small enough that a reader which jumps about
# (to an archive's directory and back) decrypts little that it does not want.
BLOCK_BYTES = 2**20
LOG2_COST = 17  # 128 MiB and a third of a second for each password that somebody tries

_MAGIC = b"MAL encrypted 1\n"
_FAMILY = b"MAL encrypted "
_FIELDS = struct.Struct(">16sBI16s7s")
_KEY_CHECK_BYTES, _CHECKSUM_BYTES, _TAG_BYTES, _KEY_BYTES = 32, 8, 16, 32
_HEADER_BYTES = _FIELDS.size + _KEY_CHECK_BYTES + _CHECKSUM_BYTES
_SCRYPT_R, _SCRYPT_P = 8, 1
_LARGEST_LOG2_COST, _LARGEST_BLOCK = 20, 2**26  # a gibibyte, and 64 mebibytes: a file cannot make a reader take more


@dataclass(frozen=True, slots=True)
class _Header:
    """The unencrypted header of a file, and the cipher derived from it and the password.

    Attributes:
        raw: its bytes.
        block_bytes: content of each block but the last.
        nonce_prefix: 7 bytes.
        cipher: with the file's key.
    """

    raw: bytes
    block_bytes: int
    nonce_prefix: bytes
    cipher: AESGCM

    def nonce(self, index: int, *, is_last: bool) -> bytes:
        return self.nonce_prefix + struct.pack(">IB", index, is_last)


class EncryptingWriter:
    """A writer that encrypts its input block by block into a file.

    Args:
        file: open for writing.
        password: any text.
        block_bytes: content of a block; at most so many bytes are buffered.
        log2_cost: binary logarithm of scrypt's cost.
    """

    def __init__(
        self, file: IO[bytes], password: str, *, block_bytes: int = BLOCK_BYTES, log2_cost: int = LOG2_COST
    ) -> None:
        self._file = file
        self._header = _new_header(password, block_bytes, log2_cost)
        self._block = bytearray()
        self._index = 0
        file.write(self._header.raw)

    def write(self, data: Buffer) -> int:
        """Add to the content."""
        view = memoryview(data).cast("B")
        start = 0
        while start < len(view):
            if len(self._block) == self._header.block_bytes:  # and it is not the last one
                self._write_block(is_last=False)
            end = start + self._header.block_bytes - len(self._block)
            self._block += view[start:end]
            start = end
        return len(view)

    def flush(self) -> None:
        """Nothing to do before the end."""

    def finish(self) -> None:
        """Write the last block."""
        self._write_block(is_last=True)

    def _write_block(self, *, is_last: bool) -> None:
        nonce = self._header.nonce(self._index, is_last=is_last)
        self._file.write(self._header.cipher.encrypt(nonce, self._block, self._header.raw))
        self._index += 1
        self._block.clear()


class DecryptingReader(io.RawIOBase):
    """A seekable reader of an encrypted file; buffers one decrypted block.

    Args:
        file: open for reading; may be closed only after this reader.
        path: its name, for errors.
        password: that it was encrypted with.

    Raises:
        UserError: the package ``cryptography`` is missing.
        LockedFile: the password is another one.
        DamagedFile: the header is not as it was written; later, a block is not.
    """

    def __init__(self, file: IO[bytes], path: Path, password: str) -> None:
        super().__init__()
        self._file = file
        self._path = path
        self._header = _read_header(file, path, password)
        sealed_bytes = file.seek(0, os.SEEK_END) - _HEADER_BYTES
        self._num_blocks = -(-sealed_bytes // (self._header.block_bytes + _TAG_BYTES))
        self._size = sealed_bytes - self._num_blocks * _TAG_BYTES
        self._position = 0
        self._held: tuple[int, bytes] = (-1, b"")

    def check(self) -> None:
        """Read the whole file once.

        Raises:
            DamagedFile: it is not as it was written.
        """
        if self._num_blocks == 0:
            raise self._damage("its end is missing")
        for index in range(self._num_blocks):
            self._read_block(index)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position in the content."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position in the content and return it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"{start + offset} lies before the beginning of the file")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        """Fill a buffer, completely unless the content ends; returns the number of bytes."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._position < self._size:
            index, start = divmod(self._position, self._header.block_bytes)
            piece = memoryview(self._block(index))[start : start + len(view) - filled]
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._position += len(piece)
        return filled

    def _block(self, index: int) -> bytes:
        if self._held[0] != index:
            self._held = (-1, b"")  # or two would be held while the next one is read
            self._held = (index, self._read_block(index))
        return self._held[1]

    def _read_block(self, index: int) -> bytes:
        start = _HEADER_BYTES + index * (self._header.block_bytes + _TAG_BYTES)
        self._file.seek(start)
        sealed = self._file.read(self._header.block_bytes + _TAG_BYTES)
        is_last = index == self._num_blocks - 1
        content = self._opened(sealed, index, is_last=is_last)
        if content is None and is_last and self._opened(sealed, index, is_last=False) is not None:
            raise self._damage("its end is missing")
        if content is None:
            raise self._damage(f"it was changed, or cut off, after byte {start}")
        return content

    def _opened(self, sealed: bytes, index: int, *, is_last: bool) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            return self._header.cipher.decrypt(self._header.nonce(index, is_last=is_last), sealed, self._header.raw)
        except InvalidTag:
            return None

    def _damage(self, reason: str) -> DamagedFile:
        return DamagedFile(f"{self._path}: damaged: {reason}; take a copy of it, or another checkpoint")


def require_cryptography(path: Path | None = None) -> None:
    """Check that the package of the extra ``[encryption]`` is installed; only encrypted files need it.

    Args:
        path: the encrypted file, for the error; None where a file is to be encrypted.

    Raises:
        UserError: it is missing.
    """
    try:
        import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401 -- a broken installation counts as missing
    except ImportError as error:
        cause = path or f"encryption_key (or {KEY_VARIABLE})"
        raise UserError(
            f"{cause}: encrypted checkpoints need a package more: pip install 'mask-auto-labeler[encryption]'"
        ) from error


def is_encrypted(file: IO[bytes]) -> bool:
    """Whether a file is encrypted by this module; rewinds the file."""
    file.seek(0)
    start = file.read(len(_FAMILY))
    file.seek(0)
    return start == _FAMILY


def _new_header(password: str, block_bytes: int, log2_cost: int) -> _Header:
    salt, nonce_prefix = os.urandom(16), os.urandom(7)
    fields = _FIELDS.pack(_MAGIC, log2_cost, block_bytes, salt, nonce_prefix)
    require_cryptography()
    key, check_key = _keys(password, salt, log2_cost)
    checked = fields + _key_check(check_key, fields)
    return _Header(checked + _checksum(checked), block_bytes, nonce_prefix, _cipher(key))


def _read_header(file: IO[bytes], path: Path, password: str) -> _Header:
    file.seek(0)
    raw = file.read(_HEADER_BYTES)
    checked, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if len(raw) < _HEADER_BYTES or checksum != _checksum(checked):
        raise DamagedFile(
            f"{path}: damaged: its header was changed or cut off; take a copy of it, or another checkpoint"
        )
    fields = raw[: _FIELDS.size]
    magic, log2_cost, block_bytes, salt, nonce_prefix = _FIELDS.unpack(fields)
    if magic != _MAGIC or not (0 < log2_cost <= _LARGEST_LOG2_COST and 0 < block_bytes <= _LARGEST_BLOCK):
        raise UserError(f"{path}: encrypted in a way that this version of mal does not know; update mal")
    require_cryptography(path)
    key, check_key = _keys(password, salt, log2_cost)
    if not hmac.compare_digest(_key_check(check_key, fields), checked[_FIELDS.size :]):
        raise LockedFile(f"{path}: encrypted with another encryption_key than the one given; give that of this file")
    return _Header(raw, block_bytes, nonce_prefix, _cipher(key))


def _cipher(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _keys(password: str, salt: bytes, log2_cost: int) -> tuple[bytes, bytes]:
    """Derive the keys for the blocks and for the key check."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    scrypt = Scrypt(salt=salt, length=2 * _KEY_BYTES, n=2**log2_cost, r=_SCRYPT_R, p=_SCRYPT_P)
    both = scrypt.derive(password.encode("utf-8", "surrogateescape"))
    return both[:_KEY_BYTES], both[_KEY_BYTES:]


def _key_check(check_key: bytes, fields: bytes) -> bytes:
    return hmac.digest(check_key, fields, "sha256")


def _checksum(checked: bytes) -> bytes:
    return hashlib.sha256(checked).digest()[:_CHECKSUM_BYTES]
