"""Access to Label Studio: its address, its tokens, and where the pictures of its tasks are."""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, unquote, urljoin, urlsplit

from mal.coco.coco_file import show
from mal.errors import UserError
from mal.serve.fetch import FailedFetchError, NotAllowedError, Prefix, fetch, fetch_with_token
from mal.serve.pictures import LocalFile, Pictures, Remote, Source, Upload

_PICTURE_PATHS = ("data/", "tasks/", "projects/", "storage-data/")
_LOCAL_FILES = "/data/local-files/"
_SECONDS = 10.0
_MOST_BYTES = 2**20


class LabelStudioAccount:
    """Where Label Studio is, and the token by which it lets us read.

    Args:
        url: of Label Studio; None where pictures of its own storage are not read.
        token: a personal access token (which is exchanged for short-lived ones) or a legacy token; None takes the one
            that Label Studio sends when it connects.
    """

    def __init__(self, url: str | None, token: str | None) -> None:
        self.url = None if url is None else url.rstrip("/") + "/"
        self._given = token
        self._sent: str | None = None
        self._access: str | None = None
        self._lock = threading.Lock()

    @property
    def prefixes(self) -> list[Prefix]:
        """Below which pictures may be fetched: the parts of Label Studio that serve files."""
        return [] if self.url is None else [Prefix.parse(self.url + path) for path in _PICTURE_PATHS]

    def take_token(self, token: object) -> None:
        """Keep the token that Label Studio sends with `/setup`; one from the command line goes before it."""
        if isinstance(token, str) and token:
            with self._lock:
                self._sent = token

    def headers(self, is_refused: bool = False) -> Mapping[str, str]:
        """The header that a request to Label Studio needs.

        Args:
            is_refused: the last one was answered 401; an access token is then made anew.

        Raises:
            UserError: there is no token, or Label Studio refuses it.
        """
        with self._lock:
            token = self._given or self._sent
            if token is None:
                raise UserError(
                    "Label Studio has sent no token yet: connect the model again, or set LABEL_STUDIO_API_KEY"
                )
            if not _is_personal(token):
                if is_refused:
                    raise UserError(
                        "Label Studio refuses the token (401): legacy tokens may be switched off there; make a"
                        " personal access token and set LABEL_STUDIO_API_KEY"
                    )
                return {"Authorization": f"Token {token}"}
            if self._access is None or is_refused:
                self._access = self._new_access(token)
            return {"Authorization": f"Bearer {self._access}"}

    def _new_access(self, token: str) -> str:
        assert self.url is not None
        url = f"{self.url}api/token/refresh/"
        body = json.dumps({"refresh": token}).encode()
        headers = {"Content-Type": "application/json"}
        try:
            answer = fetch(
                url, [Prefix.parse(url)], max_bytes=_MOST_BYTES, seconds=_SECONDS, headers=headers, data=body
            )
            return str(json.loads(answer)["access"])
        except (FailedFetchError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"Label Studio gives no access token for the personal access token: {error}") from None

    def fetch(self, url: str, prefixes: Sequence[Prefix], max_bytes: int, seconds: float) -> bytes:
        """The content behind a URL of Label Studio, as `mal.serve.fetch.fetch` returns it."""
        return fetch_with_token(url, prefixes, self.headers, max_bytes=max_bytes, seconds=seconds)

    def find_picture(self, address: object, pictures: Pictures) -> Source:
        """Where the picture of a task is.

        Args:
            address: from the data of the task.
            pictures: knows the folders of this machine.

        Raises:
            UserError: it is no address, or one that is not read.
        """
        if not isinstance(address, str) or not address:
            raise UserError(f"the picture's address is {show(address)}, which is none")
        if address.startswith("data:"):
            return _embedded(address)
        parts = urlsplit(address)
        if parts.path.endswith(_LOCAL_FILES):
            name = unquote(parse_qs(parts.query, keep_blank_values=True).get("d", [""])[0])
            found = _local(name, pictures)
            if found is not None or self.url is None:
                return found or LocalFile(name)
        if parts.scheme in ("http", "https"):
            own = any(prefix.allows(address) for prefix in self.prefixes)
            return Remote(address, self.headers) if own else Remote(address)
        if parts.scheme:
            raise UserError(
                f"{show(address)}: {parts.scheme}:// is not read; let Label Studio serve it (a storage with proxied"
                " pictures), or give the folder with --images"
            )
        if self.url is None:
            raise UserError(
                f"{show(address)} is a picture of Label Studio's own storage: say where that is with --label-studio URL"
            )
        return Remote(urljoin(self.url, address.lstrip("/")), self.headers)


def _is_personal(token: str) -> bool:
    """Whether a token is a personal access token, which is a JSON web token."""
    return token.count(".") == 2


def _local(name: str, pictures: Pictures) -> LocalFile | None:
    """A file of local storage: below a folder, or below the one above, as the document root often is."""
    first, _, rest = name.partition("/")
    inside = [str(folder / rest) for folder in pictures.folders if rest and folder.name == first]
    for candidate in (name, *inside):
        try:
            pictures.find_file(candidate)
        except NotAllowedError:
            continue
        return LocalFile(candidate)
    return None


def _embedded(address: str) -> Upload:
    head, _, content = address.partition(",")
    try:
        return Upload(base64.b64decode(content if head.endswith(";base64") else "?", validate=True))
    except binascii.Error:
        raise UserError("the picture in the task (data:...) is not encoded in base64") from None
