"""Who may ask the server: the names it answers to, pages of other sites in the user's browser, and the token."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from mal.errors import UserError

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
LEAST_TOKEN_LENGTH = 16
_EVERY_ADDRESS = ("0.0.0.0", "::", "")


@dataclass(frozen=True, slots=True)
class Security:
    """What is checked before a request reaches its route.

    Attributes:
        hosts: names and addresses that the ``Host`` header may have. Any page can point a name of its own at 127.0.0.1
            (DNS rebinding), so that an open port alone is no protection.
        token: what callers must send, as a bearer token or as the password of basic authentication; None asks for none.
        open_paths: paths that take no token.
        cookie: name of a cookie that may hold the token too, for pages of our own; None takes none.
    """

    hosts: frozenset[str]
    token: str | None = None
    open_paths: frozenset[str] = field(default=frozenset({"/health"}))
    cookie: str | None = None

    @classmethod
    def for_address(cls, host: str, token: str | None, more_hosts: Iterable[str] = ()) -> Security:
        """The rules for a server that listens at an address.

        Args:
            host: the address or name that it binds to.
            token: as above.
            more_hosts: further names that callers use.

        Raises:
            UserError: other machines can reach the address, and there is no token; or the token is short.
        """
        if token is None and not is_loopback(host):
            raise UserError(
                f"--host {host}: other machines can reach it, so a token is needed: set MAL_SERVE_TOKEN or give"
                " --token-file"
            )
        if token is not None and len(token) < LEAST_TOKEN_LENGTH:
            raise UserError(f"the token has {len(token)} characters; it needs at least {LEAST_TOKEN_LENGTH}")
        own = () if host in _EVERY_ADDRESS else (host,)
        return cls(frozenset(name.lower().strip("[]") for name in (*LOOPBACK_NAMES, *own, *more_hosts)), token)

    def check(self, method: str, path: str, headers: Headers) -> None:
        """Let a request pass or refuse it.

        Raises:
            HTTPException: 400 or 403 for names and origins, 401 for the token; with the reason.
        """
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            raise HTTPException(400, "a request needs one Host header")
        name = _host_name(hosts[0])
        if name not in self.hosts:
            raise HTTPException(403, f"this server does not answer to the name {name!r}: allow it with --allow-host")
        self._check_origin(method, hosts[0], headers)
        if self.token is not None and path not in self.open_paths and not self._has_token(headers):
            raise HTTPException(
                401,
                "the token is missing or wrong: send it as `Authorization: Bearer TOKEN`, or as the password of basic"
                " authentication",
                {"WWW-Authenticate": 'Basic realm="mal serve"'},
            )

    def _check_origin(self, method: str, host: str, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise HTTPException(403, f"pages of {origin!r} may not use this server")
        follows_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not follows_link:
            raise HTTPException(403, "pages of other sites may not use this server")

    def _has_token(self, headers: Headers) -> bool:
        assert self.token is not None
        kind, _, value = headers.get("authorization", "").partition(" ")
        given = value.strip() if kind.lower() == "bearer" else _password(value) if kind.lower() == "basic" else ""
        given = given or headers.get("token", "")  # as X-AnyLabeling sends it
        if not given and self.cookie is not None:
            given = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        return self.is_token(given)

    def is_token(self, given: str) -> bool:
        """Whether a text is the token."""
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())


class Guard:
    """Middleware that applies the rules; what is no HTTP request, such as a web socket, is closed."""

    def __init__(self, app: ASGIApp, security: Security) -> None:
        self.app = app
        self.security = security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            self.security.check(scope["method"], scope["path"], Headers(scope=scope))
        await self.app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address or name."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host_name(header: str) -> str:
    """The name in a Host header, without its port; the whole header where it is none."""
    try:
        return (urlsplit(f"//{header}").hostname or header).lower()
    except ValueError:
        return header


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
