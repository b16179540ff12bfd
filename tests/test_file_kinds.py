"""Every file that is not what was wanted is said to be what it is."""

from __future__ import annotations

import gzip
import io
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mal.file_kinds import file_kind, said_kind

LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def _zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.txt", "a")
    return content.getvalue()


def _picture(name: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, name)
    return content.getvalue()


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "empty"),
        (b" \n\t", "empty but for blanks"),
        (bytes(1024), "nothing but zeros at its beginning"),
        (LFS_POINTER, "a Git LFS pointer"),
        (b"<!DOCTYPE html><html><body>Sign in", "a web page (HTML)"),
        (b"\xef\xbb\xbf\r\n<HTML lang=en>", "a web page (HTML)"),
        (b"<!-- saved from a mirror -->\n<html>", "a web page (HTML)"),
        (b'<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml">', "a web page (HTML)"),
        (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code>', "an XML document"),
        (b'<svg width="10">', "an SVG drawing"),
        (gzip.compress(b"{}", mtime=0), "a gzip file"),
        (_zip(), "a zip archive"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript or EPS drawing"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC picture"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "an AVIF picture"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isommp41", "a video"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a video"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"\x1aE\xdf\xa3\x01\0\0\0", "a video"),
        (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "what macOS keeps beside a file"),
        (b'{"images": []}', "a JSON text"),
        (b"404: Not Found", 'a text that begins with "404: Not Found"'),
        (b"\x80\x02}q\0", "a Python pickle"),
    ],
)
def test_a_file_is_told_by_its_beginning(head, name):
    kind = file_kind(head)

    assert kind is not None
    assert kind.name == name


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF"])
def test_pictures_that_are_read_are_known_as_pictures(name):
    kind = file_kind(_picture(name))

    assert kind is not None
    assert kind.group == "picture"


def test_what_was_wanted_is_not_spoken_of():
    assert said_kind(b"{}", "a COCO file", "json", "text") is None


def test_what_was_not_wanted_is_named_with_what_to_do():
    assert said_kind(LFS_POINTER, "a picture", "picture") == (
        "is a Git LFS pointer, not a picture: git lfs pull fetches the file itself"
    )


@given(
    st.recursive(st.none() | st.text() | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_json_objects_and_lists_are_always_known_as_json(value):
    kind = file_kind(json.dumps([value]).encode()[:1024])

    assert kind is not None
    assert kind.group == "json"


@given(st.binary(max_size=1100))
def test_any_bytes_have_one_printable_name_or_none(head):
    kind = file_kind(head)

    assert kind is None or kind.name.isprintable()
