from __future__ import annotations

import json
import os
import re
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mal.coco import lazy_json
from mal.coco.boxes import select_boxes
from mal.coco.coco_file import read_coco
from mal.coco.lazy_json import JsonRecords
from mal.data.images import fill_missing_sizes
from mal.errors import UserError
from mal.labeling.report import label_report
from tests.coco.coco_samples import annotation, coco_file, document


def error_for(path) -> str:
    with pytest.raises(UserError) as caught:
        read_coco(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("\ufeff", "is empty"),
        ('{"images": [', "cut off or no JSON"),
        ('{"images": [],\n "annotations": [,]}', "line 2, column 18"),
        ("hello", "line 1, column 1"),
        ('{"images": [], // all of them\n "annotations": []}', "line 1, column"),
        ('{"images": [],\n "annotations": [],}', "line 2, column"),
        ('{"images": [], "annotations": []}\n{"images": []}', "line 2, column 1"),
        ("version https://git-lfs.github.com/spec/v1\nsize 9\n", "is a Git LFS pointer, not a JSON file: git lfs pull"),
        ("<!DOCTYPE html><html></html>", "is a web page (HTML), not a JSON file"),
        ("%PDF-1.7\n", "is a PDF document, not a JSON file"),
        ("[]", 'lists "images", "annotations" and "categories"'),
        ("3", "top level is a single value"),
        ("{}", '"images" is missing'),
        ('{"images": []}', '"annotations" is missing'),
        ('{"images": {}, "annotations": []}', '"images" is not a list'),
        ('{"images": [], "annotations": null}', '"annotations" is not a list'),
        ("[" * 100_000, "cannot be read as JSON"),
        ("1" * 5_000, "cannot be read as JSON"),
    ],
)
def test_damage_of_the_whole_file_is_one_line_that_names_it(tmp_path, content, said):
    path = tmp_path / "boxes.json"
    path.write_text(content, encoding="utf-8")
    assert said in error_for(path)


def test_a_missing_file_is_named(tmp_path):
    assert "does not exist" in error_for(tmp_path / "none.json")


def test_a_folder_instead_of_a_file_is_named(tmp_path):
    assert "is a folder" in error_for(tmp_path)


def test_a_path_through_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    assert "cannot be read" in error_for(tmp_path / "file" / "boxes.json")


def test_text_that_is_not_utf8_is_named_with_the_byte(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_bytes('{"images": []}'.encode("utf-16"))
    assert "not UTF-8 text (byte 0)" in error_for(path)


def test_a_byte_order_mark_is_read_over(tmp_path):
    coco = coco_file(tmp_path, "\ufeff" + json.dumps(document(annotation())))
    assert list(coco.images) == [1]
    assert coco.strict_json


def test_bare_nan_and_infinity_are_read(tmp_path):
    coco = coco_file(tmp_path, document(annotation(bbox=[float("nan"), 0, float("inf"), 1])))
    assert not coco.strict_json
    assert len(coco.annotations) == 1


def test_ids_beyond_64_bits_stay_exact(tmp_path):
    number = 2**90 + 1
    coco = coco_file(tmp_path, document(annotation(id=number)))
    assert coco.annotations[0]["id"] == number


def test_a_sound_file_has_no_notes(tmp_path):
    coco = coco_file(tmp_path, document(annotation()))
    assert coco.notes == []
    assert coco.categories == {3: "nut"}
    assert (coco.images[1].width, coco.images[1].height, coco.images[1].file_name) == (100, 80, "a.png")


@pytest.mark.parametrize("categories", [..., None, {}])
def test_a_file_without_categories_works_with_a_warning(tmp_path, categories):
    content = document(annotation(), categories=categories)
    if categories is ...:
        del content["categories"]
    coco = coco_file(tmp_path, content)
    boxes, notes = select_boxes(coco)
    assert (len(boxes), notes) == (1, [])
    assert [(note.action, "categories" in note.reason) for note in coco.notes] == [("warned", True)]


@pytest.mark.parametrize(
    ("categories", "said"),
    [([5], "categories[0] has no usable id"), ([{"id": 3}, {"id": 3}], "category id 3 is used twice")],
)
def test_an_odd_category_is_named(tmp_path, categories, said):
    coco = coco_file(tmp_path, document(annotation(), categories=categories))
    assert said in coco.notes[0].reason


IMAGE = {"id": 1, "file_name": "a.png", "width": 100, "height": 80}


@pytest.mark.parametrize(
    ("images", "said", "labelled"),
    [
        ([5, IMAGE], "images[0] is 5, not an object", 1),
        ([{"file_name": "a.png"}, IMAGE], "images[0] has no usable id (null)", 1),
        ([IMAGE | {"id": True}], "images[0] has no usable id (true)", 0),
        ([IMAGE | {"id": [1]}], "images[0] has no usable id ([1])", 0),
        ([IMAGE | {"file_name": None}], "image 1 has no file name", 0),
        ([IMAGE | {"file_name": ""}], "image 1 has no file name", 0),
        ([IMAGE | {"file_name": "\ud800"}], 'image 1 has no file name (file_name is "\\ud800")', 0),
        ([IMAGE, IMAGE], "image id 1 is used twice, at images[0] and images[1], for the same picture", 1),
        ([IMAGE, IMAGE | {"file_name": "b.png"}], "for different pictures (a.png, b.png)", 0),
        ([IMAGE, IMAGE | {"file_name": 3}], "image 1 has no file name", 0),
        ([IMAGE | {"file_name": 3}, IMAGE], "image 1 has no file name", 0),
        ([IMAGE | {"width": None}], "image 1 (a.png) has no valid size in the file (null x 80)", 0),
        ([IMAGE | {"height": "80"}], 'has no valid size in the file (100 x "80")', 0),
        ([IMAGE | {"height": -1}], "has no valid size", 0),
        ([IMAGE | {"height": 80.5}], "has no valid size", 0),
        ([IMAGE | {"height": 10**400}], "has no valid size", 0),
        ([IMAGE | {"height": float("nan")}], "has no valid size", 0),
    ],
)
def test_an_odd_image_record_is_named_and_its_annotation_is_accounted_for(tmp_path, images, said, labelled):
    coco = coco_file(tmp_path, document(annotation(), images=images))
    boxes, notes = select_boxes(coco)
    assert said in coco.notes[0].reason
    assert len(boxes) == labelled
    assert [note.action for note in notes] == ["skipped"] * (1 - labelled)


def test_a_whole_float_is_a_size(tmp_path):
    coco = coco_file(tmp_path, document(images=[IMAGE | {"width": 100.0}]))
    assert coco.images[1].width == 100
    assert coco.notes == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
sound_keys = st.sampled_from(["id", "image_id", "category_id", "bbox", "iscrowd", "file_name", "width", "height"])
changes = st.dictionaries(sound_keys, json_values, max_size=3)


@given(
    images=st.lists(changes.map(lambda change: IMAGE | change) | json_values, max_size=3),
    annotations=st.lists(changes.map(lambda change: annotation() | change) | json_values, max_size=5),
    categories=json_values,
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
def test_whatever_is_damaged_every_annotation_is_accounted_for(tmp_path, images, annotations, categories):
    coco = coco_file(tmp_path, document(*annotations, images=images, categories=categories))
    boxes, notes = select_boxes(coco)
    counts = label_report(coco, {box.position for box in boxes}, notes)["counts"]
    assert counts["labelled"] + counts["skipped"] + counts["passed"] + counts["failed"] == len(annotations)
    for box in boxes:
        x0, y0, x1, y1 = box.xyxy
        assert 0 <= x0 < x1 <= box.image.width
        assert 0 <= y0 < y1 <= box.image.height


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
def test_a_file_with_changed_bytes_is_read_or_refused(tmp_path, data):
    raw = bytearray(json.dumps(document(annotation(), annotation(id=11))).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "boxes.json"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        coco = read_coco(path)
    except UserError:
        return
    boxes, notes = select_boxes(coco)
    label_report(coco, {box.position for box in boxes}, notes)


@pytest.mark.parametrize(("width", "height", "has_size"), [(46_340, 46_341, True), (70_000, 70_000, False)])
def test_a_size_that_no_mask_can_have_is_none(tmp_path, width, height, has_size):
    coco = coco_file(tmp_path, document(annotation()) | {"images": [IMAGE | {"width": width, "height": height}]})
    assert coco.images[1].has_size == has_size
    assert (1 in coco.oversized_images) != has_size


def test_boxes_of_an_image_of_absurd_size_fail_with_that_reason(tmp_path):
    coco = coco_file(tmp_path, document(annotation()) | {"images": [IMAGE | {"width": 70_000, "height": 70_000}]})
    Image.new("RGB", (100, 80)).save(tmp_path / "a.png")
    assert fill_missing_sizes(coco, tmp_path) == []
    boxes, notes = select_boxes(coco)
    assert len(boxes) == 0
    assert [note.action for note in notes] == ["failed"]
    assert "70000 x 70000 pixels" in notes[0].reason


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
record_lists = st.lists(st.dictionaries(st.sampled_from(["id", "bbox", '"', "\\"]), any_json, max_size=3), max_size=6)
documents = st.fixed_dictionaries(
    {"images": record_lists, "info": any_json | record_lists, "annotations": record_lists},
    optional={"categories": any_json, "\\": record_lists},
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
    monkeypatch.setattr(lazy_json, "_CHUNK", request.param)
    monkeypatch.setattr(lazy_json, "_BLOCK", request.param)


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


@pytest.mark.parametrize("place", ["mal.coco.lazy_json.loads", "mal.coco.coco_file.parse_document_in_parts"])
def test_low_memory_is_told_as_what_it_is(place, tmp_path, monkeypatch):
    (tmp_path / "boxes.json").write_text('{"images": [], "annotations": [], "categories": []}')

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(place, fail)
    with pytest.raises(UserError, match=r"boxes\.json: there is not enough memory to read it"):
        read_coco(tmp_path / "boxes.json")
