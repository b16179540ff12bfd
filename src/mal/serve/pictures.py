"""The pictures of requests: uploaded, below allowed folders or allowed URLs; decoded within a budget of memory."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mal.coco.coco_file import show
from mal.data.images import ImageCache, decode_image
from mal.data.picture_file import Pixels, opened_file, picture_in
from mal.limits import MAX_PICTURE_BYTES, MAX_REQUEST_BYTES, MAX_SERVED_PIXEL_BYTES, SERVED_CACHE_BYTES
from mal.plain_files import read_up_to
from mal.reading import AS_STORED, Reading
from mal.serve.fetch import NotAllowedError, Prefix, StoppedEarly, fetch_with_token

_SECONDS_FOR_A_FETCH = 30.0
_SECONDS_THAT_URLS_ARE_KEPT = 300.0
_SECONDS_BETWEEN_LOOKS = 0.5
_BYTES_PER_PIXEL = 3
_NO_FILE = "no such file below the folders of --images"


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture that the request holds."""

    content: bytes


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file below an allowed folder, by its path or its name below the folder."""

    name: str


@dataclass(frozen=True, slots=True)
class Remote:
    """A picture behind an allowed URL.

    Attributes:
        url: of the picture.
        headers: makes the headers to send; it is asked anew, with True, where the first ones are answered 401, as they
            are once an access token has run out.
    """

    url: str
    headers: Callable[[bool], Mapping[str, str]] = field(default=lambda _: {}, compare=False)


Source = Upload | LocalFile | Remote


class Pictures:
    """Reads pictures, and keeps those used last.

    Args:
        folders: from which files may be read.
        prefixes: of URLs from which pictures may be fetched.
        max_bytes: of decoded images that are in use at once; a larger one is used alone.
    """

    def __init__(
        self,
        folders: Sequence[Path] = (),
        prefixes: Sequence[Prefix] = (),
        max_bytes: int = MAX_SERVED_PIXEL_BYTES,
    ) -> None:
        self.folders = tuple(folder.resolve() for folder in folders)
        self.prefixes = tuple(prefixes)
        self._budget = _Budget(max_bytes)
        self._cache = ImageCache(SERVED_CACHE_BYTES)
        self._lock = threading.Lock()

    @contextmanager
    def opened(
        self, source: Source, reading: Reading = AS_STORED, is_wanted: Callable[[], bool] = lambda: True
    ) -> Iterator[Pixels]:
        """The colors of a picture, (H, W, 3) uint8, read-only, for the time of a block.

        Args:
            source: where it is.
            reading: how it is decoded.
            is_wanted: asked while it waits.

        Raises:
            NotAllowedError: the place is not allowed.
            UserError: it cannot be read.
            StoppedEarly: it is no longer wanted.
        """
        path = self.find_file(source.name) if isinstance(source, LocalFile) else None
        key = (_name(source, path), reading)
        with self._lock:
            kept = self._cache.find(key)
        if kept is not None:
            with self._budget.of(kept.nbytes, is_wanted):
                yield kept
            return
        content, called = self._content(source, path, is_wanted)
        with picture_in(io.BytesIO(content), called, reading.max_pixels) as header:
            nbytes = header.width * header.height * _BYTES_PER_PIXEL
        with self._budget.of(nbytes, is_wanted):
            pixels = decode_image(content, called, reading)
            del content
            with self._lock:
                pixels = self._cache.keep(key, pixels)
            yield pixels

    def read(self, source: Source, is_wanted: Callable[[], bool] = lambda: True) -> tuple[bytes, str]:
        """The bytes of a picture's file, and what it is called in messages; raises as `opened` does."""
        path = self.find_file(source.name) if isinstance(source, LocalFile) else None
        return self._content(source, path, is_wanted)

    def find_file(self, name: str) -> Path:
        """The path of a file below an allowed folder; links are followed, and must not lead out.

        Raises:
            NotAllowedError: there is no such file there; the message is the same whether or not there is one elsewhere.
        """
        if not self.folders:
            raise NotAllowedError(f"{show(name)}: files are read from no folder: allow one with --images")
        for folder in self.folders:
            try:
                path = (folder / name).resolve()
                is_found = path.is_relative_to(folder) and path.is_file()
            except (OSError, ValueError, RuntimeError):  # a name that no file can have, links in a circle
                continue
            if is_found:
                return path
        raise NotAllowedError(f"{show(name)}: {_NO_FILE}")

    def _content(self, source: Source, path: Path | None, is_wanted: Callable[[], bool]) -> tuple[bytes, str]:
        """The bytes of a picture, and what it is called in messages."""
        if isinstance(source, Upload):
            return source.content, "the picture"
        if isinstance(source, Remote):
            content = fetch_with_token(
                source.url,
                self.prefixes,
                source.headers,
                max_bytes=MAX_REQUEST_BYTES,
                seconds=_SECONDS_FOR_A_FETCH,
                is_wanted=is_wanted,
            )
            return content, f"image {source.url}"
        assert path is not None
        with opened_file(path) as file:
            return read_up_to(file, MAX_PICTURE_BYTES, f"image {path}"), f"image {path}"


def _name(source: Source, path: Path | None) -> Hashable:
    """What a picture is kept under: changes with its content, behind a URL some minutes later."""
    if isinstance(source, Upload):
        return hashlib.sha256(source.content).digest()
    if isinstance(source, Remote):
        return source.url, int(time.monotonic() / _SECONDS_THAT_URLS_ARE_KEPT)
    assert path is not None
    state = path.stat()
    return path, state.st_mtime_ns, state.st_size


class _Budget:
    """Bytes that several threads share; more than there are is given to one that is alone."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def of(self, nbytes: int, is_wanted: Callable[[], bool]) -> Iterator[None]:
        """Take bytes for the time of a block, waiting for others to give theirs back.

        Raises:
            StoppedEarly: the wait is no longer wanted.
        """
        with self._changed:
            while self._used and self._used + nbytes > self._total:
                if not is_wanted():
                    raise StoppedEarly
                self._changed.wait(_SECONDS_BETWEEN_LOOKS)
            self._used += nbytes
        try:
            yield
        finally:
            with self._changed:
                self._used -= nbytes
                self._changed.notify_all()
