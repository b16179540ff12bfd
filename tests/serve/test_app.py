from __future__ import annotations

import logging
import re
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from mal.errors import UserError
from tests.serve.serving import serving


async def fail(_):
    raise RuntimeError("inside\nout")


async def refuse(_):
    raise UserError("not \udcff like this")


async def leave(_):
    raise ClientDisconnect


async def greet(_):
    return PlainTextResponse("hello")


ROUTES = [Route("/fail", fail), Route("/refuse", refuse), Route("/leave", leave), Route("/greet", greet)]


def test_routes_of_other_rooms_are_served_under_the_same_rules():
    with serving(routes=ROUTES) as server:
        assert server.client.get("/greet").text == "hello"
        assert server.client.get("/greet", headers={"host": "evil.example"}).status_code == 403


def test_every_answer_has_a_request_id_that_is_in_the_log(caplog):
    caplog.set_level(logging.INFO, "mal.serve")
    with serving(routes=ROUTES) as server:
        request_id = server.client.get("/greet").headers["x-request-id"]
    assert re.search(rf"^{request_id} GET /greet 200 \d+\.\d+ s$", caplog.messages[-1])


def test_an_unexpected_error_is_one_answer_and_a_traceback_in_the_log(caplog):
    with serving(routes=ROUTES) as server:
        answer = server.client.get("/fail")
        assert (answer.status_code, server.client.get("/greet").status_code) == (500, 200)
    assert answer.json()["error"] == "unexpected RuntimeError; the server's log says more"
    (record,) = [record for record in caplog.records if record.exc_info]
    assert answer.json()["request"] in record.getMessage()


def test_a_user_s_mistake_is_told_whatever_its_text_holds():
    with serving(routes=ROUTES) as server:
        answer = server.client.get("/refuse")
    assert (answer.status_code, answer.json()["error"]) == (422, "not \udcff like this")


def test_a_client_that_leaves_is_logged_and_the_next_is_served(caplog):
    caplog.set_level(logging.INFO, "mal.serve")
    with serving(routes=ROUTES) as server:
        with suppress(AssertionError):  # the test client asks for a response, a client that has left does not
            server.client.get("/leave")
        assert server.client.get("/greet").status_code == 200
    assert any("the client has left" in line for line in caplog.messages)


def test_log_lines_hold_no_line_breaks_of_the_request(caplog):
    caplog.set_level(logging.INFO, "mal.serve")
    with serving() as server:
        server.client.get("/a%0Afake%20line%1b[2J")
    assert not any("\n" in line or "\x1b" in line for line in caplog.messages)
