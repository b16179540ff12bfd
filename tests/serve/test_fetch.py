from __future__ import annotations

import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.errors import UserError
from mal.serve.fetch import FailedFetchError, NotAllowedError, Prefix, StoppedEarly, fetch


class _Site(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path.startswith("/photos/moved"):
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/secret")
            self.end_headers()
        elif self.path == "/photos/slow":
            self.send_response(200)
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(50):
                    self.wfile.write(b".")
                    time.sleep(0.05)
        elif self.path == "/photos/a.png":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.headers.get("Authorization", "nobody").encode())
        else:
            self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def address(site):
    site.asked.clear()
    return f"http://127.0.0.1:{site.server_port}"


def get(url, prefix, **more):
    return fetch(url, [Prefix.parse(prefix)], **({"max_bytes": 1000, "seconds": 5.0} | more))


def test_a_file_below_a_prefix_is_fetched_with_its_headers(address):
    assert get(f"{address}/photos/a.png", f"{address}/photos") == b"nobody"
    found = get(f"{address}/photos/a.png", f"{address}/photos/", headers={"Authorization": "Token x"})
    assert found == b"Token x"


def test_a_redirect_is_not_followed(address):
    with pytest.raises(FailedFetchError, match=r"a redirect \(302\), which is not followed"):
        get(f"{address}/photos/moved.png", address)


def test_a_file_that_is_missing_too_large_or_too_slow_is_told(address, site):
    with pytest.raises(FailedFetchError, match="the answer is 404") as caught:
        get(f"{address}/photos/b.png", address)
    assert caught.value.status == 404
    with pytest.raises(FailedFetchError, match="the most that is fetched"):
        get(f"{address}/photos/a.png", address, max_bytes=3)
    with pytest.raises(FailedFetchError, match="not fetched in time"):
        get(f"{address}/photos/slow", address, seconds=0.2)


def test_a_fetch_that_nobody_wants_stops(address):
    with pytest.raises(StoppedEarly):
        get(f"{address}/photos/slow", address, is_wanted=lambda: False)


def test_a_server_that_does_not_answer_is_told():
    with pytest.raises(FailedFetchError, match="cannot be fetched"):
        get("http://127.0.0.1:1/a.png", "http://127.0.0.1:1/")


@pytest.mark.parametrize(
    "path",
    [
        "/secret.png",
        "/photos/../secret.png",
        "/photos/%2e%2e/secret.png",
        "/photos/%252e%252e/secret.png",
        "/photos-of-others/a.png",
        "/photos%2f..%2f..%2fsecret.png",
        "\\photos\\a.png",
    ],
)
def test_nothing_outside_the_prefix_is_asked_for(address, site, path):
    with pytest.raises(NotAllowedError, match="below no allowed prefix"):
        get(f"{address}{path}", f"{address}/photos/")
    assert site.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "https://photos.example/a.png",
        "http://photos.example:8080/a.png",
        "http://photos.example.evil.example/a.png",
        "http://photos.example@evil.example/a.png",
        "http://user:word@photos.example/a.png",
        "file:///etc/passwd",
        "ftp://photos.example/a.png",
        "//photos.example/a.png",
        "/etc/passwd",
        "http://photos.example:x/a.png",
        "http://[/a.png",
    ],
)
def test_other_schemes_hosts_and_ports_are_not_allowed(url):
    with pytest.raises(NotAllowedError):
        get(url, "http://photos.example/")


@given(st.lists(st.sampled_from(["..", ".", "a", "%2e%2e", "%2E.", "%252e%252e", "..%2f..", ""]), max_size=6))
def test_an_allowed_url_has_no_way_up_however_often_it_is_decoded(parts):
    path = "/".join(parts)
    if Prefix.parse("http://h/photos/").allows(f"http://h/photos/{path}"):
        for _ in range(4):
            assert ".." not in path.split("/")
            path = path.replace("%2e", ".").replace("%2E", ".").replace("%2f", "/").replace("%25", "%")


@given(st.text(min_size=1, max_size=20))
def test_any_quoted_name_below_the_prefix_is_allowed(name):
    is_plain = ".." not in name and "\\" not in name and "%" not in name
    if is_plain:
        assert Prefix.parse("http://h/photos").allows(f"http://h/photos/x{quote(name)}")


@pytest.mark.parametrize("text", ["photos", "ftp://h/", "http://h/?a=b", "http://", "http://u@h/"])
def test_a_prefix_must_be_a_plain_url(text):
    with pytest.raises(UserError, match="must be a URL such as"):
        Prefix.parse(text)
