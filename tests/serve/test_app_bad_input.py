"""Bad input over a real connection: one clear answer with a status, in the log by its id, and the next is served."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import time
from contextlib import closing, suppress

import pytest

from mal.limits import MAX_REQUEST_BYTES
from tests.data.processes import wait_until
from tests.serve.serving import BOXES, listening, png

TOKEN = "a token that is long enough"
HEADERS = f"Host: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: image/png\r\n"
TWO_GIGABYTES = 2 * 2**30


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "a.png").write_bytes(png())
    (folder / "b.png").write_bytes(png()[:-40])
    with listening(folder, token=TOKEN) as port:
        yield port


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, "mal.serve")
    return caplog


def ask(port, image="a.png", boxes=BOXES, token=TOKEN):
    body = json.dumps({"image": {"path": image}, "boxes_xyxy": boxes})
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST", "/v1/masks", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def raw(port, sent: bytes) -> tuple[int, dict]:
    """Send the beginning of a request, and read the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        with suppress(ConnectionError):  # it has answered, and reads no further
            connection.sendall(sent)
        answer = http.client.HTTPResponse(connection, method="POST")
        answer.begin()
        with answer:
            return answer.status, json.loads(answer.read())


def check(port, log, expected, found):
    status, answer = found
    assert status == expected, answer
    assert isinstance(answer["error"], str)
    assert wait_until(
        lambda: any(line.startswith(answer["request"]) and str(expected) in line for line in log.messages)
    )
    assert ask(port)[0] == 200


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"image": "b.png"}, 422),
        ({"image": "../a.png"}, 403),
        ({"boxes": [[5, 5, 4, 4]]}, 400),
        ({"token": None}, 401),
        ({"token": "another token that is long"}, 401),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused(port, log, given, status):
    check(port, log, status, ask(port, **given))


def test_a_box_outside_is_no_error_and_says_why_it_has_no_mask(port):
    status, answer = ask(port, boxes=[[500, 500, 600, 600]])
    assert (status, answer["masks"][0]["reason"]) == (200, "the box lies outside the image")


def test_a_body_of_two_gigabytes_is_refused_before_it_is_sent(port, log):
    head = f"POST /v1/masks HTTP/1.1\r\n{HEADERS}Content-Length: {TWO_GIGABYTES}\r\n\r\n"
    check(port, log, 413, raw(port, head.encode() + b"x" * 1000))


def test_a_body_that_does_not_tell_its_size_is_refused_once_it_is_too_large(port, log):
    head = f"POST /v1/masks HTTP/1.1\r\n{HEADERS}Transfer-Encoding: chunked\r\n\r\n"
    piece = b"100000\r\n" + bytes(2**20) + b"\r\n"
    check(port, log, 413, raw(port, head.encode() + piece * (MAX_REQUEST_BYTES // 2**20 + 1)))


def test_a_client_that_leaves_in_the_middle_of_its_body_is_logged(port, log):
    head = f"POST /v1/masks HTTP/1.1\r\n{HEADERS}Content-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode() + b"half")
    end = time.monotonic() + 60
    while not any("the client has left" in line for line in log.messages) and time.monotonic() < end:
        time.sleep(0.02)
    assert any(line.split()[1:4] == ["POST", "/v1/masks", "499"] for line in log.messages)
    assert ask(port)[0] == 200
