from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from mal.errors import UserError
from mal.serve.label_studio_account import LabelStudioAccount
from mal.serve.pictures import LocalFile, Pictures, Remote, Upload
from tests.serve.serving import pixels, png

PERSONAL, LEGACY = "head.refresh.sign", "0123456789abcdef"
URL = "http://studio.example:8080"


class _Studio(BaseHTTPRequestHandler):
    """Gives access tokens that are good for one request."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_known = self.path == "/api/token/refresh/" and body == {"refresh": PERSONAL}
        self.server.given += is_known
        self._send(200 if is_known else 401, json.dumps({"access": f"a.b.{self.server.given}"}).encode())

    def do_GET(self):
        self.server.seen.append(self.headers["Authorization"])
        is_valid = self.headers["Authorization"] in (f"Bearer a.b.{self.server.given}", f"Token {LEGACY}")
        is_valid &= self.headers["Authorization"] not in self.server.seen[:-1] or "Token" in self.server.seen[-1]
        self._send(200 if is_valid and self.path == "/data/upload/1/a.png" else 401, png())

    def _send(self, status, content):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def studio():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Studio) as server:
        server.given, server.seen = 0, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()


def read(account: LabelStudioAccount, address: str = "/data/upload/1/a.png") -> np.ndarray:
    pictures = Pictures(prefixes=account.prefixes)
    with pictures.opened(account.find_picture(address, pictures)) as found:
        return found


def test_uploads_are_read_with_the_token_that_label_studio_sends(studio):
    account = LabelStudioAccount(studio.url, None)
    with pytest.raises(UserError, match="has sent no token yet"):
        read(account)
    account.take_token(LEGACY)
    np.testing.assert_array_equal(read(account), pixels())


def test_an_access_token_that_has_run_out_is_made_anew(studio):
    account = LabelStudioAccount(studio.url, PERSONAL)
    for _ in range(3):
        np.testing.assert_array_equal(read(account), pixels())
    assert studio.seen == ["Bearer a.b.1", "Bearer a.b.1", "Bearer a.b.2", "Bearer a.b.2", "Bearer a.b.3"]


def test_the_token_of_the_command_line_goes_before_the_one_that_is_sent(studio):
    account = LabelStudioAccount(studio.url, LEGACY)
    account.take_token("another")
    read(account)


def test_a_token_that_is_refused_is_told(studio):
    with pytest.raises(UserError, match="refuses the token"):
        read(LabelStudioAccount(studio.url, "wrong"))
    with pytest.raises(UserError, match="gives no access token"):
        read(LabelStudioAccount(studio.url, "a.wrong.one"))


def test_the_token_goes_to_label_studio_alone():
    account = LabelStudioAccount(URL, LEGACY)
    own = account.find_picture(f"{URL}/data/upload/1/a.png", Pictures())
    other = account.find_picture("http://photos.example/data/upload/1/a.png", Pictures())
    api = account.find_picture(f"{URL}/api/users/", Pictures())
    assert isinstance(own, Remote)
    assert own.headers(False) == {"Authorization": f"Token {LEGACY}"}
    assert (other.headers(False), api.headers(False)) == ({}, {})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos/sub").mkdir(parents=True)
    (tmp_path / "photos/sub/a b.png").write_bytes(png())
    return tmp_path / "photos"


@pytest.mark.parametrize("start", ["", "http://studio.example:8080"])
def test_local_files_are_found_below_the_document_root_and_below_the_folder_itself(folder, start):
    address = f"{start}/data/local-files/?d=photos/sub/a%20b.png"
    for root in (folder.parent, folder):
        pictures = Pictures([root])
        with pictures.opened(LabelStudioAccount(None, None).find_picture(address, pictures)) as found:
            np.testing.assert_array_equal(found, pixels())


def test_a_local_file_that_is_not_here_is_fetched_where_label_studio_is_known(folder):
    address = "/data/local-files/?d=photos/b.png"
    pictures = Pictures([folder])
    assert LabelStudioAccount(None, None).find_picture(address, pictures) == LocalFile("photos/b.png")
    found = LabelStudioAccount(URL, LEGACY).find_picture(address, pictures)
    assert found == Remote(f"{URL}{address}")
    assert all(
        not prefix.allows("http://studio.example:8080/api/users/") for prefix in LabelStudioAccount(URL, None).prefixes
    )


def test_a_picture_may_be_in_the_task_itself():
    account = LabelStudioAccount(None, None)
    assert account.find_picture("data:image/png;base64,aGVsbG8=", Pictures()) == Upload(b"hello")
    with pytest.raises(UserError, match="not encoded in base64"):
        account.find_picture("data:image/png,hello", Pictures())


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://bucket/a.png", "s3:// is not read"),
        ("file:///etc/passwd", "file:// is not read"),
        ("/data/upload/1/a.png", "say where that is with --label-studio URL"),
        ("a.png", "say where that is with --label-studio URL"),
        ("", "which is none"),
        (None, "which is none"),
        (["a.png"], "which is none"),
    ],
)
def test_an_address_that_is_not_read_is_told(address, said):
    with pytest.raises(UserError, match=said):
        LabelStudioAccount(None, None).find_picture(address, Pictures())
