from __future__ import annotations

import threading
import time

import anyio
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from mal.serve import intake as module
from mal.serve.intake import Intake, json_object


def request(*pieces: bytes, announced: int | None = None, leaves: bool = False, stalls: bool = False) -> Request:
    """A request whose body comes in pieces; its client leaves after it, or stays."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages += [] if stalls else [{"type": "http.request", "body": b"", "more_body": False}]
    messages += [{"type": "http.disconnect"}] if leaves else []

    async def receive():
        if not messages:
            await anyio.sleep_forever()
        return messages.pop(0)

    headers = [] if announced is None else [(b"content-length", str(announced).encode())]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


@pytest.fixture
def intake():
    intake = Intake(most_requests=2, threads=1, seconds=0.5)
    yield intake
    intake.close()


async def body_of(intake, asked):
    async with intake.place(asked) as body:
        return body


def refused(call, *given) -> HTTPException:
    with pytest.raises(HTTPException) as caught:
        anyio.run(call, *given)
    return caught.value


def test_a_body_arrives_in_pieces(intake):
    assert anyio.run(body_of, intake, request(b"ab", b"c")) == b"abc"


@pytest.mark.parametrize("asked", [{"announced": 2**31}, {"pieces": [b"x" * 60] * 3}])
def test_a_body_that_is_too_large_is_refused_before_it_is_read(intake, monkeypatch, asked):
    monkeypatch.setattr(module, "MAX_REQUEST_BYTES", 100)
    error = refused(body_of, intake, request(*asked.pop("pieces", []), **asked))
    assert error.status_code == 413


def test_a_body_that_does_not_arrive_is_given_up(intake, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_FOR_A_BODY", 0.1)
    assert refused(body_of, intake, request(b"a", stalls=True)).status_code == 408
    assert anyio.run(body_of, intake, request(b"b")) == b"b"


def test_bodies_that_wait_share_a_budget_and_give_it_back(intake, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 5)

    async def two():
        async with intake.place(request(b"1234")):
            await body_of(intake, request(b"56"))

    assert refused(two).status_code == 503
    assert anyio.run(body_of, intake, request(b"12345")) == b"12345"


def test_more_requests_than_places_are_asked_to_come_again(intake):
    async def three():
        async with intake.place(request()), intake.place(request()), intake.place(request()):
            pass

    error = refused(three)
    assert error.status_code == 503
    assert 1 <= int(error.headers["Retry-After"]) <= 60
    assert anyio.run(body_of, intake, request(b"a")) == b"a"


def test_work_that_takes_too_long_is_given_up(intake):
    ended = threading.Event()

    def work(is_wanted):
        while is_wanted():
            time.sleep(0.01)
        ended.set()

    error = refused(intake.run, request(), work)
    assert (error.status_code, error.detail) == (503, "no answer after 0.5 seconds: try again later")
    assert ended.wait(30)


def test_work_for_a_client_that_has_left_is_given_up(intake):
    ended = threading.Event()

    def work(is_wanted):
        while is_wanted():
            time.sleep(0.01)
        ended.set()

    with pytest.raises(ClientDisconnect):
        anyio.run(intake.run, request(leaves=True), work)
    assert ended.wait(30)


def test_an_error_of_the_work_is_that_of_the_request(intake):
    def work(_):
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        anyio.run(intake.run, request(), work)
    assert anyio.run(intake.run, request(), lambda _: 3) == 3


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b'{"a": NaN}', b"\xff", b"[" * 10_000])
def test_a_body_must_be_a_json_object(body):
    with pytest.raises(HTTPException) as caught:
        json_object(body)
    assert caught.value.status_code == 400
