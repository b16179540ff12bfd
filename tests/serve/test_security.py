from __future__ import annotations

import pytest
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from mal.errors import UserError
from mal.serve.security import Security, is_loopback
from tests.serve.serving import serving

TOKEN = "a token that is long enough"


@pytest.fixture(scope="module")
def client():
    with serving() as server:
        yield server.client


@pytest.fixture(scope="module")
def closed():
    with serving(security=Security.for_address("0.0.0.0", TOKEN, ["mal.example"])) as server:
        yield server.client


def status(client, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get("/v1/model", headers=named).status_code


@pytest.mark.parametrize("host", ["127.0.0.1:9090", "localhost:9090", "LOCALHOST", "[::1]:9090"])
def test_the_server_answers_to_the_names_of_this_machine(client, host):
    assert status(client, host=host) == 200


@pytest.mark.parametrize("host", ["evil.example:9090", "127.0.0.1.evil.example", "", "[", "localhost@evil.example"])
def test_a_name_that_points_here_from_elsewhere_is_refused(client, host):
    assert status(client, host=host) == 403


def test_the_names_that_were_allowed_are_answered_too(closed):
    assert status(closed, host="mal.example:9090", authorization=f"Bearer {TOKEN}") == 200
    assert status(closed, host="other.example:9090", authorization=f"Bearer {TOKEN}") == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8080", "http://localhost:9090"])
def test_pages_of_other_origins_are_refused(client, origin):
    assert status(client, origin=origin) == 403


def test_a_rebound_page_whose_origin_is_its_host_is_refused(client):
    assert status(client, host="evil.example", origin="http://evil.example") == 403


def test_the_server_s_own_pages_may_ask(client):
    assert status(client, host="127.0.0.1:9090", origin="http://127.0.0.1:9090", sec_fetch_site="same-origin") == 200


def test_a_page_without_an_origin_is_known_by_what_its_browser_says(client):
    assert status(client, sec_fetch_site="cross-site", sec_fetch_mode="no-cors") == 403
    assert status(client, sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 200


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Basic ????", TOKEN])
def test_a_token_that_is_missing_or_wrong_is_refused(closed, given):
    headers = {} if given is None else {"authorization": given}
    answer = closed.get("/v1/model", headers=headers)
    assert answer.status_code == 401
    assert "Authorization: Bearer TOKEN" in answer.json()["error"]
    assert answer.headers["www-authenticate"].startswith("Basic")


def test_the_token_is_also_a_password_of_basic_authentication(closed):
    assert closed.get("/v1/model", auth=("anybody", TOKEN)).status_code == 200
    assert closed.get("/v1/model", auth=("anybody", TOKEN[:-1])).status_code == 401


@pytest.mark.parametrize("name", [None, "review"])
def test_a_cookie_holds_the_token_only_where_it_has_a_name(name):
    security = Security(frozenset({"127.0.0.1"}), TOKEN, cookie=name)
    headers = Headers({"host": "127.0.0.1", "cookie": f'other=1; review="{TOKEN}"'})
    if name is None:
        with pytest.raises(HTTPException):
            security.check("GET", "/", headers)
    else:
        security.check("GET", "/", headers)


def test_other_machines_need_a_token():
    for host in ("0.0.0.0", "::", "192.168.1.5", "studio.example"):
        with pytest.raises(UserError, match="a token is needed"):
            Security.for_address(host, None)


def test_a_short_token_is_refused():
    with pytest.raises(UserError, match="has 5 characters; it needs at least 16"):
        Security.for_address("127.0.0.1", "short")


@pytest.mark.parametrize(
    ("host", "is_this_machine"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("", False)],
)
def test_loopback_addresses_are_known(host, is_this_machine):
    assert is_loopback(host) == is_this_machine
