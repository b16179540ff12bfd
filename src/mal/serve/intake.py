"""Take requests in: a bounded number at a time, bodies within limits, and no work for a client that has left."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from mal.limits import MAX_REQUEST_BYTES, MAX_WAITING_BYTES
from mal.serve.fetch import StoppedEarly

T = TypeVar("T")

SECONDS_FOR_A_BODY = 60.0
_LONGEST_WAIT = 60
_SMOOTHING = 0.1


class Intake:
    """Bounds the requests that are in the server, and works on some of them at a time, in threads.

    Args:
        most_requests: how many may be in the server; further ones are answered 503.
        threads: how many are worked on at a time; each holds a decoded image.
        seconds: how long a request may take.
    """

    def __init__(self, *, most_requests: int, threads: int, seconds: float) -> None:
        self.most_requests = most_requests
        self.seconds = seconds
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._requests = 0
        self._bytes = 0
        self._mean_seconds = 0.1

    def close(self) -> None:
        """End the threads; requests that have not begun are dropped."""
        self._pool.shutdown(cancel_futures=True)

    @asynccontextmanager
    async def place(self, request: Request) -> AsyncIterator[bytes]:
        """A place for a request, with its body; the place is free again when the block ends.

        Raises:
            HTTPException: 503 where all places are taken, 413 for a body that is too large, 408 for one that does not
                arrive.
            ClientDisconnect: the client has left.
        """
        if self._requests >= self.most_requests:
            raise self._busy("the server has as many requests as it takes")
        self._requests += 1
        body = b""
        try:
            body = await self._read(request)
            yield body
        finally:
            self._requests -= 1
            self._bytes -= len(body)

    async def run(self, request: Request, work: Callable[[Callable[[], bool]], T]) -> T:
        """Run the work for a request in a thread.

        Args:
            request: whose client is watched.
            work: is passed a function that tells whether the answer is still wanted.

        Raises:
            HTTPException: 503 when the time is over.
            ClientDisconnect: the client has left.
        """
        is_over = threading.Event()
        start = time.monotonic()
        future = self._pool.submit(work, lambda: not is_over.is_set())
        try:
            with anyio.fail_after(self.seconds):
                return await _unless_client_leaves(request, asyncio.wrap_future(future))
        except TimeoutError:
            raise self._busy(f"no answer after {self.seconds:g} seconds") from None
        except StoppedEarly:  # of a race: the thread saw the end first
            raise ClientDisconnect from None
        finally:
            is_over.set()
            future.cancel()
            self._mean_seconds += _SMOOTHING * (time.monotonic() - start - self._mean_seconds)

    async def _read(self, request: Request) -> bytes:
        """The body, counted in ``_bytes``."""
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > MAX_REQUEST_BYTES:
            raise _too_large()
        pieces: list[bytes] = []
        size, is_complete = 0, False
        try:
            with anyio.fail_after(SECONDS_FOR_A_BODY):
                async for piece in request.stream():
                    pieces.append(piece)
                    size += len(piece)
                    self._bytes += len(piece)
                    if size > MAX_REQUEST_BYTES:
                        raise _too_large()
                    if self._bytes > MAX_WAITING_BYTES:
                        raise self._busy("the requests that wait take as much memory as they may")
            is_complete = True
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {SECONDS_FOR_A_BODY:g} seconds") from None
        finally:
            self._bytes -= 0 if is_complete else size
        return b"".join(pieces)

    def _busy(self, reason: str) -> HTTPException:
        wait = math.ceil(self._requests * self._mean_seconds / self._threads)
        return HTTPException(503, f"{reason}: try again later", {"Retry-After": str(min(max(wait, 1), _LONGEST_WAIT))})


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        HTTPException: 400, it is none.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise HTTPException(400, "the body must be a JSON object")
    return value


async def _unless_client_leaves(request: Request, work: Awaitable[T]) -> T:
    """The result of some work, which is given up when the client leaves.

    Raises:
        ClientDisconnect: it has left.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_wait_for_leaving(request))
    try:
        await asyncio.wait((task, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        leaving.cancel()


async def _wait_for_leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _too_large() -> HTTPException:
    return HTTPException(413, f"the body has more than {MAX_REQUEST_BYTES / 2**20:g} MiB, the most that is taken")
