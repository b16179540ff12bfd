"""Fetch files by URL: from allowed prefixes only, redirects not followed, bounded in bytes and time."""

from __future__ import annotations

import http.client
import posixpath
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from mal.errors import UserError, one_line

_SECONDS_WITHOUT_DATA = 10.0
_PIECE = 2**20
_UNAUTHORIZED = 401
_PORTS = {"http": 80, "https": 443}


class NotAllowedError(UserError):
    """A file, folder or address that the server may not read."""


class StoppedEarly(Exception):  # noqa: N818 -- nobody has made an error
    """Work was stopped since nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """An allowed prefix of URLs: scheme, host and port must be equal, the path must lie below."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, text: str) -> Prefix:
        """Parse the text of an option.

        Raises:
            UserError: it is no http or https URL, or has more parts than a prefix.
        """
        parts = _split(text)
        if parts is None or parts[3]:
            raise UserError(f"{text}: must be a URL such as https://example.org/photos/, without a query")
        scheme, host, port, _, path = parts
        return cls(scheme, host, port, path if path.endswith("/") else f"{path}/")

    def allows(self, url: str) -> bool:
        """Whether a URL lies below."""
        parts = _split(url)
        if parts is None:
            return False
        scheme, host, port, _, path = parts
        return (scheme, host, port) == (self.scheme, self.host, self.port) and _stays_below(path, self.path)


def fetch(
    url: str,
    prefixes: Sequence[Prefix],
    *,
    max_bytes: int,
    seconds: float,
    headers: Mapping[str, str] | None = None,
    is_wanted: Callable[[], bool] = lambda: True,
    data: bytes | None = None,
) -> bytes:
    """The content behind a URL.

    Args:
        url: must lie below one of the prefixes.
        prefixes: those that are allowed.
        max_bytes: largest allowed content.
        seconds: how long it may take in all.
        headers: sent with the request.
        is_wanted: asked between pieces.
        data: a body, which makes it a POST.

    Raises:
        NotAllowedError: the URL lies below none of the prefixes.
        UserError: nothing, too much or a redirect came back, or the time was over.
        StoppedEarly: it is no longer wanted.
    """
    if not any(prefix.allows(url) for prefix in prefixes):
        raise NotAllowedError(f"{url} is below no allowed prefix: allow one with --allow-url")
    request = urllib.request.Request(url, data=data, headers=dict(headers or {}))
    end = time.monotonic() + seconds
    try:
        with _OPENER.open(request, timeout=_SECONDS_WITHOUT_DATA) as answer:
            return _read(answer, url, max_bytes, end, is_wanted)
    except urllib.error.HTTPError as error:
        error.close()
        raise FailedFetchError(f"{url}: {_reason(error)}", error.code) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FailedFetchError(f"{url} cannot be fetched: {one_line(error)}", None) from error


def fetch_with_token(
    url: str,
    prefixes: Sequence[Prefix],
    headers: Callable[[bool], Mapping[str, str]],
    *,
    max_bytes: int,
    seconds: float,
    is_wanted: Callable[[], bool] = lambda: True,
) -> bytes:
    """As `fetch`, with headers that may have run out.

    Args:
        headers: makes them; asked a second time, with True, where the first ones are answered 401.
    """
    try:
        return fetch(url, prefixes, max_bytes=max_bytes, seconds=seconds, headers=headers(False), is_wanted=is_wanted)
    except FailedFetchError as error:
        if error.status != _UNAUTHORIZED:
            raise
        more = headers(True)
        return fetch(url, prefixes, max_bytes=max_bytes, seconds=seconds, headers=more, is_wanted=is_wanted)


class FailedFetchError(UserError):
    """A fetch that failed.

    Attributes:
        status: of the answer; None where there was none.
    """

    def __init__(self, message: str, status: int | None) -> None:
        self.status = status
        super().__init__(message)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as it is, an answer that is not 200: the next address might be any."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects())


def _read(
    answer: http.client.HTTPResponse, url: str, max_bytes: int, end: float, is_wanted: Callable[[], bool]
) -> bytes:
    pieces: list[bytes] = []
    left = max_bytes
    while piece := answer.read1(_PIECE):
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            raise FailedFetchError(f"{url} has more than {max_bytes / 2**20:g} MiB, the most that is fetched", None)
        if not is_wanted():
            raise StoppedEarly
        if time.monotonic() > end:
            raise FailedFetchError(f"{url} was not fetched in time", None)
    return b"".join(pieces)


def _reason(error: urllib.error.HTTPError) -> str:
    if 300 <= error.code < 400:
        return f"the answer is a redirect ({error.code}), which is not followed: give the address that it leads to"
    return f"the answer is {error.code} {error.reason}"


def _split(url: str) -> tuple[str, str, int, str, str] | None:
    """Scheme, host, port, query and path; None for what is no plain http or https URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if port is None or parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or "\\" in url:
        return None
    return parts.scheme, parts.hostname, port, parts.query, parts.path or "/"


def _stays_below(path: str, folder: str) -> bool:
    """Whether a path lies below a folder, also where percent forms are read any number of times."""
    while True:
        if ".." in path.split("/") or not posixpath.normpath(path).startswith(folder.rstrip("/")):
            return False
        if not path.startswith(folder):
            return False
        plain = unquote(path)
        if plain == path:
            return True
        path = plain
