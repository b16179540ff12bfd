"""Listen at an address, serve an application there until a signal comes, and log to the terminal."""

from __future__ import annotations

import logging
import socket
from collections.abc import Collection

import uvicorn
from starlette.applications import Starlette

from mal.errors import UserError

_SECONDS_TO_FINISH = 10


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        UserError: the address cannot be used.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


def address_of(listener: socket.socket) -> str:
    """The URL of a server that listens."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(application: Starlette, listener: socket.socket) -> None:
    """Serve until a signal comes."""
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    uvicorn.Server(config).run(sockets=[listener])


def log_to_console(leave_out: Collection[str] = ()) -> None:
    """Log requests and errors to the terminal.

    Args:
        leave_out: lines that hold one of these texts, as those of a page that asks every second, are not shown.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    handler.addFilter(lambda record: not any(text in record.getMessage() for text in leave_out))
    logger = logging.getLogger("mal.serve")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addHandler(handler)
