from __future__ import annotations

import json
import posixpath
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mal.coco.coco_file import read_coco
from mal.coco.tables import ImageRecord
from mal.data.images import read_image, read_record_image
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.paths import local_copy, to_path
from tests.coco.coco_samples import annotation, document

fsspec = pytest.importorskip("fsspec", reason="URLs are read by fsspec")
pytest.importorskip("upath", reason="URLs are read by universal-pathlib (the extra [cloud])")


@pytest.fixture
def store(tmp_path):
    """A file system in memory that holds a COCO file and its picture."""
    Image.fromarray(np.full((80, 100, 3), 40, np.uint8)).save(tmp_path / "a.jpg")
    content = document(annotation())
    content["images"][0] |= {"file_name": "deep/a.jpg"}
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/boxes.json", json.dumps(content).encode())
    memory.pipe("/bucket/images/deep/a.jpg", (tmp_path / "a.jpg").read_bytes())
    memory.pipe("/bucket/images/b.jpg", b"no picture")
    yield "memory://bucket"
    memory.rm("/bucket", recursive=True)


def record(file_name):
    return ImageRecord(1, file_name, 100, 80, 0)


def test_a_coco_file_and_its_pictures_are_read_from_urls(store):
    source = AnnotatedImages(f"{store}/boxes.json", f"{store}/images")
    assert str(source.coco.path) == f"{store}/boxes.json"
    assert len(source.boxes_to_label) == 1
    assert read_record_image(source.img_dir, source.boxes_to_label[0].image).shape == (80, 100, 3)


def test_a_size_that_the_record_lacks_is_read_from_the_url(store):
    file = json.loads(fsspec.filesystem("memory").cat("/bucket/boxes.json"))
    del file["images"][0]["width"]
    fsspec.filesystem("memory").pipe("/bucket/boxes.json", json.dumps(file).encode())
    source = AnnotatedImages(f"{store}/boxes.json", f"{store}/images")
    assert "100 x 80" in source.notes[-1].reason


def test_a_url_of_this_machine_is_a_plain_path(tmp_path):
    assert to_path(f"file://{tmp_path}/a.json") == tmp_path / "a.json"
    assert to_path(str(tmp_path)) == tmp_path


def test_a_missing_file_is_named_by_its_url(store):
    with pytest.raises(UserError, match=f"{store}/other.json: cannot be read"):
        read_coco(to_path(f"{store}/other.json"))


def test_a_damaged_file_is_named_by_its_url(store):
    fsspec.filesystem("memory").pipe("/bucket/boxes.json", b'{"images": [')
    with pytest.raises(UserError, match=f"{store}/boxes.json is cut off"):
        read_coco(to_path(f"{store}/boxes.json"))


@pytest.mark.parametrize(
    ("name", "words"), [("c.jpg", "does not exist"), ("b.jpg", "not a picture"), ("../boxes.json", "leads out of")]
)
def test_a_picture_that_cannot_be_read_is_named(store, name, words):
    with pytest.raises(UserError, match=words):
        read_record_image(to_path(f"{store}/images"), record(name))


def test_a_store_without_its_package_says_which_one(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(UserError, match=r"s3://bucket/a\.json: cannot be read here: .*s3fs"):
        to_path("s3://bucket/a.json")


def test_an_unknown_kind_of_url_is_refused():
    with pytest.raises(UserError, match=r"zzz://bucket/a\.json: cannot be read here"):
        to_path("zzz://bucket/a.json")


def test_a_local_file_is_not_copied(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    assert local_copy(tmp_path / "a.txt") == tmp_path / "a.txt"


def test_a_picture_behind_a_url_is_the_same_as_on_the_disk(store, tmp_path):
    remote = read_image(to_path(f"{store}/images/deep/a.jpg"))
    np.testing.assert_array_equal(remote, read_image(Path(tmp_path / "a.jpg")))


class Recorder(BaseHTTPRequestHandler):
    """Answers everything with nothing, and remembers what it was asked for."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("aiohttp", reason="fsspec reads http with aiohttp")
    http = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


def asked_for(server: str, name: str) -> list[str]:
    """The paths, percent forms read, that reading a picture of this name asks a server for."""
    Recorder.asked.clear()
    with pytest.raises(UserError):
        read_record_image(to_path(f"{server}/set/base"), record(name))
    return list(Recorder.asked)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("photo#1.jpg", "/set/base/photo%231.jpg"),
        ("100%25.jpg", "/set/base/100%2525.jpg"),
        ("what?x=1.jpg", "/set/base/what%3Fx=1.jpg"),
        ("a b/ü.jpg", "/set/base/a%20b/%C3%BC.jpg"),
        ("cam1:/0001.jpg", "/set/base/cam1:/0001.jpg"),
        ("a::b.jpg", "/set/base/a::b.jpg"),
        ("deep/../a.jpg", "/set/base/a.jpg"),
    ],
)
def test_a_name_behind_http_names_that_file(server, name, asked):
    found = asked_for(server, name)
    assert {unquote(path) for path in found} == {unquote(asked)}
    assert all("?" not in path and "#" not in path for path in found)


OUT = [
    "../a.jpg",
    "%2e%2e/a.jpg",
    "%2E%2e/%2e%2e/admin?x=1",
    "a/%2e%2e/%2e%2e/b.jpg",
    "%252e%252e/a.jpg",
    "..%2fa.jpg",
    "%2f..",
    "a%2f..%2f..%2fb.jpg",
]


@pytest.mark.parametrize("name", [*OUT, "/etc/passwd", "http://elsewhere/a.jpg", ".", "..\\a.jpg"])
def test_a_name_that_leads_out_of_a_url_is_refused_unasked(server, name):
    assert asked_for(server, name) == []


@pytest.mark.parametrize("name", ["cam1:/0001.jpg", "photo#1.jpg", "100%25.jpg", "what?x=1.jpg"])
def test_a_store_that_does_not_quote_is_asked_for_the_name_as_it_is(store, tmp_path, name):
    fsspec.filesystem("memory").pipe(f"/bucket/images/{name}", (tmp_path / "a.jpg").read_bytes())
    assert read_record_image(to_path(f"{store}/images"), record(name)).shape == (80, 100, 3)


@pytest.mark.parametrize("name", ["a.jpg::file:///etc/passwd", "::memory://other", "%2e%2e/boxes.json"])
def test_a_store_is_not_led_elsewhere_by_a_name(store, name):
    with pytest.raises(UserError, match="leads out of"):
        read_record_image(to_path(f"{store}/images"), record(name))


PIECES = [
    "..",
    ".",
    "/",
    "%2e",
    "%2f",
    "%25",
    "a",
    "?",
    "#",
    ":",
    "::",
    "\\",
    "http://x",
    " ",
    "ü",
    "\x01",
    "@",
    ";",
    "&",
]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=7).map("".join))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_name_is_only_what_lies_below_the_folder_is_asked_for(server, name):
    for path in asked_for(server, name):
        read = path
        for _ in range(5):
            assert read.startswith("/set/base/")
            assert "?" not in path
            assert posixpath.normpath(read).startswith("/set/base")
            read = unquote(read)
