from __future__ import annotations

import json
import os
import re
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mal.data import json_outline, json_records
from mal.data.coco import read_coco
from mal.data.json_records import JsonRecords
from mal.errors import UserError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
record_lists = st.lists(
    st.dictionaries(st.sampled_from(["id", "bbox", '"', "\\"]), json_values, max_size=3), max_size=6
)
documents = st.fixed_dictionaries(
    {"images": record_lists, "info": json_values | record_lists, "annotations": record_lists},
    optional={"categories": json_values, "\\": record_lists},
)


def read(tmp_path, text: str):
    """The document, and whether it is strict JSON."""
    path = tmp_path / "boxes.json"
    path.write_text(text, encoding="utf-8")
    coco = read_coco(path)
    return coco.document, coco.strict_json


def read_more(tmp_path, members: str):
    """The members of a document, without those that every COCO file has."""
    document, strict = read(tmp_path, f'{{"images": [], {members}, "annotations": []}}')
    return {key: value for key, value in document.items() if key not in ("images", "annotations")}, strict


def parsed(value):
    return list(value) if isinstance(value, JsonRecords) else value


@pytest.fixture(params=[1, 7, 10_000])
def small_pieces(request, monkeypatch):
    """Chunks and blocks so small that their borders fall anywhere."""
    monkeypatch.setattr(json_outline, "_CHUNK", request.param)
    monkeypatch.setattr(json_records, "_BLOCK", request.param)


@given(content=documents, indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
def test_a_document_read_in_parts_is_the_document(small_pieces, tmp_path, content, indent, ascii_only):
    document, strict = read(tmp_path, json.dumps(content, indent=indent, ensure_ascii=ascii_only))
    assert list(document) == list(content)
    assert json.dumps({key: parsed(value) for key, value in document.items()}) == json.dumps(content)
    for key, value in document.items():
        if isinstance(value, JsonRecords):
            assert [value[index] for index in range(len(value))] == content[key]
    assert strict or any("\ud800" <= character <= "\udfff" for character in json.dumps(content, ensure_ascii=False))


def test_lists_of_objects_stay_on_the_disk_and_all_else_is_parsed(tmp_path):
    members = '"a": [{"x": 1}, {"x": [{}]}], "b": [], "c": [1, 2], "d": {"e": [{}]}, "f": null'
    document, _ = read_more(tmp_path, members)
    assert [key for key, value in document.items() if isinstance(value, JsonRecords)] == ["a"]
    assert {key: parsed(value) for key, value in document.items()} == json.loads(f"{{{members}}}")


def test_a_list_of_objects_and_others_is_read_too(tmp_path):
    document, _ = read_more(tmp_path, '"a": [{"x": 1}, 3]')
    assert document == {"a": [{"x": 1}, 3]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"images": [], "annotations": [{"id": 1}], "annotations": [{"id": 2}]}',
            'the key "annotations" is twice in the object of "images", "annotations": keep one of them',
        ),
        (
            '{"images": [], "annotations": [{"id": 1}, {"id": 7, "bbox": [1], "bbox": [2]}]}',
            'the key "bbox" is twice in the record with id 7',
        ),
        (
            '{"images": [], "annotations": [{"id": 7, "segmentation": {"size": [1, 1], "counts": "", "counts": ""}}]}',
            'the key "counts" is twice in the record with id 7',
        ),
        (
            '{"images": [{"file_name": "a", "file_name": "b"}], "annotations": []}',
            'the key "file_name" is twice in the object of "file_name"',
        ),
        (
            '{"images": [], "annotations": [], "info": {"a": 1, "a": 1}}',
            'the key "a" is twice in the object of "a"',
        ),
    ],
)
def test_a_key_twice_in_an_object_is_an_error_that_names_the_record(tmp_path, text, said):
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "boxes.json") in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_nan_in_one_record_is_read_and_told(tmp_path):
    document, strict = read_more(tmp_path, '"a": [{"x": 1}, {"x": NaN}, {"x": -Infinity}]')
    assert not strict
    assert isinstance(document["a"], JsonRecords)
    assert str(list(document["a"])) == "[{'x': 1}, {'x': nan}, {'x': -inf}]"


def test_integers_of_any_length_stay_exact(tmp_path):
    content = {"a": [{"id": 2**63}, {"id": -(2**90), "area": 10**30, "c": [2**64]}], "b": 10**40}
    document, strict = read_more(tmp_path, json.dumps(content)[1:-1])
    assert strict
    assert {key: parsed(value) for key, value in document.items()} == content


@pytest.mark.parametrize("key", ["images", "annotations", "categories", "else"])
@pytest.mark.parametrize(
    "inside",
    [
        '{"x": 1} {"x": 2}',
        '{"x": 1},, {"x": 2}',
        ', {"x": 1}',
        '{"x": 1},',
        '{"x": 1]',
        '{"x": "}"}, {"x": "',
        '{"x": 1}}, {"x": 2',
        '{"x": 1}], [{"x": 2}',
    ],
)
def test_damage_between_and_in_records_is_found_when_the_file_is_read(small_pieces, tmp_path, inside, key):
    others = ", ".join(f'"{other}": []' for other in ("images", "annotations") if other != key)
    with pytest.raises(UserError, match=r"line 1, column \d"):
        read(tmp_path, f'{{"{key}": [{inside}], {others}}}')


def test_a_record_can_be_read_after_the_file_is_gone(tmp_path):
    document, _ = read_more(tmp_path, '"a": [{"x": 1}]')
    (tmp_path / "boxes.json").unlink()
    assert document["a"][0] == {"x": 1}


def test_a_file_that_changes_while_it_is_in_use_is_an_error(tmp_path):
    document, _ = read_more(tmp_path, '"a": [{"x": 1}]')
    (tmp_path / "boxes.json").write_text("{}")
    with pytest.raises(UserError, match="was changed while it was in use"):
        document["a"][0]


def test_a_pipe_is_read_as_a_whole(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    text = '{"images": [], "annotations": [{"x": 1}]}'
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=[text])
    writer.start()
    assert read_coco(tmp_path / "pipe").document == json.loads(text)
    writer.join()


@pytest.mark.parametrize("place", ["mal.data.json_in.loads", "mal.data.coco.document_in_parts"])
def test_low_memory_is_told_as_what_it_is(place, tmp_path, monkeypatch):
    (tmp_path / "boxes.json").write_text('{"images": [], "annotations": [], "categories": []}')

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(place, fail)
    with pytest.raises(UserError, match=r"boxes\.json: there is not enough memory to read it"):
        read_coco(tmp_path / "boxes.json")
