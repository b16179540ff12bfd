"""Put the server together: routes, who may ask, request ids in the log, and every error as one JSON answer."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mal.errors import UserError
from mal.printable import printable
from mal.serve.fetch import NotAllowedError
from mal.serve.security import Guard, Security

LOG = logging.getLogger("mal.serve")
_CLIENT_LEFT = 499  # nginx's number; nobody receives it
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def app(
    routes: Sequence[BaseRoute],
    security: Security,
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]] | None = None,
) -> Starlette:
    """Make the application; other rooms add their routes to those of `mal.serve`.

    Args:
        routes: of all that it serves.
        security: checked before any of them.
        lifespan: runs while it serves, as Starlette takes it.
    """
    return Starlette(
        routes=list(routes),
        lifespan=lifespan,
        middleware=[Middleware(RequestLog), Middleware(Guard, security=security)],
        exception_handlers={HTTPException: _answer, UserError: _answer},
    )


class RequestLog:
    """Middleware that gives each request an id, logs how it ended, and answers errors that nothing else has."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(4)
        scope.setdefault("state", {})["request_id"] = request_id
        start, status = time.monotonic(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = _CLIENT_LEFT
            log(request_id, "the client has left")
        except Exception as error:
            if not isinstance(error, HTTPException):
                LOG.exception("%s unexpected %s", request_id, type(error).__name__)
            if status:  # part of the answer is sent
                raise
            await error_response(error, request_id)(scope, receive, send_with_id)
        finally:
            seconds = time.monotonic() - start
            LOG.info("%s %s %s %d %.3f s", request_id, scope["method"], printable(scope["path"]), status, seconds)


def error_response(error: Exception, request_id: str) -> Response:
    """The answer to an error: ``{"error": ..., "request": ID}`` with a fitting status."""
    headers = None
    if isinstance(error, HTTPException):
        status, text, headers = error.status_code, str(error.detail), error.headers
    elif isinstance(error, NotAllowedError):
        status, text = 403, str(error)
    elif isinstance(error, UserError):
        status, text = 422, str(error)
    else:
        status, text = 500, f"unexpected {type(error).__name__}; the server's log says more"
    log(request_id, text)
    return AsciiJson({"error": text, "request": request_id}, status, headers)


def log(request_id: str, text: str) -> None:
    """Log a line under the id of a request."""
    LOG.info("%s %s", request_id, printable(text))


class AsciiJson(JSONResponse):
    """A JSON answer whose texts may hold anything, lone surrogates of file names too."""

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        return ascii_json(content)


def ascii_json(content: Any) -> bytes:
    """Encode a JSON value without NaN; characters beyond ASCII are escaped."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


async def _answer(request: Request, error: Exception) -> Response:
    return error_response(error, request.state.request_id)
