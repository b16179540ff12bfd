from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from mal.coco.boxes import RecordNote, select_boxes
from mal.coco.coco_file import CocoFile, read_coco
from mal.errors import UserError
from mal.files import dumps
from mal.labeling.label_file import check_output_path, settled, write_label_file
from mal.labeling.report import label_report, summary_lines, write_label_report
from mal.labeling.shards import MaskLabel, Positions
from mal.masks.rle import rle_from_mask, rle_from_window
from mal.metrics.baselines import box_mask
from tests.coco.coco_samples import annotation, coco_file, document

RLE = rle_from_window(np.ones((40, 30), bool), x0=10, y0=20, image_width=100, image_height=80)


def labeled_file(tmp_path, *annotations, iou=None, **other):
    """The output for a file of which every selected box gets the same mask; and the notes of writing it."""
    coco = coco_file(tmp_path, document(*annotations, **other))
    boxes, notes = select_boxes(coco)
    changes = write_label_file(coco, {box.position: MaskLabel(RLE, iou) for box in boxes}, notes, tmp_path / "out.json")
    text = (tmp_path / "out.json").read_text(encoding="utf-8")
    return json.loads(text, parse_constant=lambda token: pytest.fail(f"{token} in the output")), changes


def test_a_labelled_annotation_gets_mask_and_area_and_keeps_the_rest(tmp_path):
    record = annotation(bbox=[-5, 20.25, 30, 40], iscrowd=..., score=0.25, attributes={"occluded": True}, area=1)
    result, changes = labeled_file(tmp_path, record)
    expected = record | {"segmentation": dict(RLE), "area": 1200, "iscrowd": 0}
    assert result["annotations"] == [expected]
    assert changes == []


def test_everything_but_the_annotations_is_as_in_the_input(tmp_path):
    other = {"licenses": [{"id": 1}], "videos": [], "note ü": {"x": [1, 2.5, None, "№"]}}
    result, _ = labeled_file(tmp_path, annotation(), **other)
    expected = document(annotation(), **other)
    assert list(result) == list(expected)
    assert {**result, "annotations": 0} == {**expected, "annotations": 0}


def test_the_iou_is_written_where_it_is_known(tmp_path):
    assert labeled_file(tmp_path, annotation(), iou=0.5)[0]["annotations"][0]["iou"] == 0.5
    assert "iou" not in labeled_file(tmp_path, annotation())[0]["annotations"][0]


def test_an_empty_mask_is_marked_since_nobody_sees_it(tmp_path):
    coco = coco_file(tmp_path, document(annotation()))
    empty = MaskLabel(rle_from_mask(np.zeros((80, 100), bool)), score=0.2)
    (note,) = write_label_file(coco, {0: empty}, [], tmp_path / "out.json", min_score=0.5)
    (result,) = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert (note.position, note.action) == (0, "doubtful")
    assert note.reason == "the mask is empty; mask_score 0.2 is below inference.min_score 0.5"
    assert result["mal"] == {"status": "doubtful", "reason": note.reason}
    assert label_report(coco, {0}, [note])["counts"]["doubtful"] == 1


def test_a_group_region_is_unchanged(tmp_path):
    record = annotation(iscrowd=1, segmentation={"size": [80, 100], "counts": [8000]}, area=0.5)
    assert labeled_file(tmp_path, record)[0]["annotations"] == [record]


def test_a_skipped_annotation_gets_an_empty_mask_and_a_mark(tmp_path):
    record = annotation(bbox=["1", None, 3, 4], area=7)
    (result,) = labeled_file(tmp_path, record)[0]["annotations"]
    empty = rle_from_mask(np.zeros((80, 100), bool))
    mark = {"status": "skipped", "reason": 'bbox ["1", null, 3, 4] holds a value that is not a finite number'}
    assert result == record | {"segmentation": dict(empty), "area": 0, "mal": mark}


def test_a_skipped_annotation_keeps_its_polygons(tmp_path):
    record = annotation(bbox=..., segmentation=[[1, 1, 9, 1, 9, 9]], area=32)
    (result,) = labeled_file(tmp_path, record)[0]["annotations"]
    assert {key: value for key, value in result.items() if key != "mal"} == record


def test_without_an_image_size_there_is_a_mark_but_no_mask(tmp_path):
    record = annotation(image_id=99)
    (result,) = labeled_file(tmp_path, record)[0]["annotations"]
    assert "segmentation" not in result
    assert result["mal"]["status"] == "skipped"


def test_a_failed_annotation_says_so(tmp_path):
    coco = coco_file(tmp_path, document(annotation()))
    note = RecordNote(0, 10, 1, "failed", "image a.png is damaged")
    write_label_file(coco, {}, [note], tmp_path / "out.json")
    (result,) = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert result["mal"] == {"status": "failed", "reason": "image a.png is damaged"}


def test_a_mask_takes_the_mark_of_an_earlier_run_away(tmp_path):
    record = annotation(mal={"status": "failed", "reason": "image a.png is damaged"})
    assert "mal" not in labeled_file(tmp_path, record)[0]["annotations"][0]


def test_annotations_keep_their_order_and_doubled_ids(tmp_path):
    records = [annotation(id=5), annotation(id="b", image_id=9), annotation(id=5), annotation(id=2, iscrowd=1)]
    result, _ = labeled_file(tmp_path, *records)
    assert [record["id"] for record in result["annotations"]] == [5, "b", 5, 2]


def test_nan_and_infinity_become_null_and_are_named(tmp_path):
    record = annotation(bbox=[float("nan"), 1, 2, float("inf")], extra=[float("-inf")])
    result, changes = labeled_file(tmp_path, record, info={"version": float("nan")})
    assert result["annotations"][0]["bbox"] == [None, 1, 2, None]
    assert result["info"] == {"version": None}
    assert [(note.position, note.annotation_id, note.action) for note in changes] == [
        (None, None, "warned"),
        (0, 10, "warned"),
    ]
    assert "holds 3 NaN or infinite numbers" in changes[1].reason


def test_numbers_and_texts_that_the_fast_writer_refuses_survive(tmp_path):
    record = annotation(id=2**90 + 1, name="\ud800")
    (result,) = labeled_file(tmp_path, record)[0]["annotations"]
    assert (result["id"], result["name"]) == (2**90 + 1, "\ud800")


def test_a_record_that_would_break_readers_is_made_indexable_and_named(tmp_path):
    _, changes = labeled_file(tmp_path, annotation(id=...), annotation(image_id=[1]), annotation(category_id=...), 7)
    coco = COCO(str(tmp_path / "out.json"))
    assert len(coco.dataset["annotations"]) == 3
    assert [note.reason.split(":")[0] for note in changes] == [
        "id is missing",
        "image_id is [1]",
        "category_id is missing",
    ]


@pytest.mark.parametrize("how", ["same", "link", "hard link", "dots"])
def test_the_input_file_is_never_overwritten(tmp_path, how):
    coco = coco_file(tmp_path, document())
    path = tmp_path / "other.json"
    if how == "same":
        path = coco.path
    elif how == "link":
        path.symlink_to(coco.path)
    elif how == "hard link":
        os.link(coco.path, path)
    else:
        path = tmp_path / ".." / tmp_path.name / coco.path.name
    with pytest.raises(UserError, match="is the input file"):
        write_label_file(coco, {}, [], path)


def test_a_folder_as_output_is_refused(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        check_output_path(tmp_path / "boxes.json", tmp_path)


def test_a_failure_while_writing_leaves_the_old_file_and_no_draft(tmp_path):
    class OnADiskThatFails(dict):
        def get(self, position):
            raise OSError(5, "Input/output error")

    coco = coco_file(tmp_path, document(annotation()))
    (tmp_path / "out.json").write_text("old")
    with pytest.raises(UserError, match="Input/output error"):
        write_label_file(coco, OnADiskThatFails({0: MaskLabel(RLE)}), [], tmp_path / "out.json")
    assert (tmp_path / "out.json").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["boxes.json", "out.json"]


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    coco = coco_file(tmp_path, document())
    with pytest.raises(UserError, match="cannot be written"):
        write_label_file(coco, {}, [], coco.path / "out.json")


def test_missing_output_folders_are_made(tmp_path):
    path = tmp_path / "new" / "folder" / "out.json"
    write_label_file(coco_file(tmp_path, document()), {}, [], path)
    assert json.loads(path.read_text()) == document()


@pytest.mark.parametrize(
    ("labelled", "notes"),
    [
        (set(), []),
        ({0, 1}, []),
        ({0}, [RecordNote(0, 10, 1, "skipped", "x")]),
        (set(), [RecordNote(0, 10, 1, "skipped", "x"), RecordNote(0, 10, 1, "failed", "y")]),
    ],
)
def test_a_lost_or_doubled_annotation_is_a_programming_error(tmp_path, labelled, notes):
    with pytest.raises(ValueError, match=r"annotations"):
        label_report(coco_file(tmp_path, document(annotation())), labelled, notes)


def test_the_report_counts_every_annotation_once_and_names_what_is_odd(tmp_path):
    coco = coco_file(
        tmp_path,
        document(
            annotation(),
            annotation(id=11, bbox=[-5, 0, 20, 20], category_id=8),
            annotation(id=12, bbox=None),
            annotation(id=13, iscrowd=1),
            annotation(id=14),
            categories=[{"id": 3}, 5],
        ),
    )
    _, notes = select_boxes(coco)
    report = label_report(coco, {0, 1}, [*notes, RecordNote(4, 14, 1, "failed", "image a.png is damaged")])
    assert report["counts"] == {
        "annotations": 5,
        "labelled": 2,
        "clipped": 1,
        "skipped": 1,
        "passed": 1,
        "failed": 1,
        "kept": 0,
        "doubtful": 0,
        "warned": 2,
    }
    assert summary_lines(report) == [
        "5 annotations: 2 labelled (1 clipped), 1 skipped, 1 passed, 1 failed, 2 warned about",
        "failed: annotation 14, image 1 (a.png): image a.png is damaged",
        "skipped: annotation 12, image 1 (a.png): bbox is null",
        "clipped: annotation 11, image 1 (a.png): bbox [-5, 0, 20, 20] reaches outside its image of 100 x 80: "
        "limited to the image",
        "warned: categories[1] has no usable id: it is ignored",
        'warned: annotation 11, image 1 (a.png): category_id 8 is not in "categories": kept as it is',
    ]
    assert summary_lines(report, limit=2)[-1] == "... and 3 more, in the report file"
    assert report["records"][3] == {
        "action": "skipped",
        "reason": "bbox is null",
        "annotation_index": 2,
        "annotation_id": 12,
        "image_id": 1,
        "file_name": "a.png",
        "done": "empty mask written, and marked",
    }


def test_a_clipped_annotation_that_fails_later_is_not_counted_as_clipped(tmp_path):
    coco = coco_file(tmp_path, document(annotation(bbox=[-5, 0, 20, 20])))
    _, notes = select_boxes(coco)
    report = label_report(coco, set(), [*notes, RecordNote(0, 10, 1, "failed", "x")])
    assert (report["counts"]["clipped"], report["counts"]["failed"]) == (0, 1)


def test_a_file_without_annotations_says_that_there_was_nothing_to_do(tmp_path):
    assert summary_lines(label_report(coco_file(tmp_path, document()), set(), [])) == [
        "nothing to do: the file has no annotations"
    ]


def test_the_written_report_is_strict_json(tmp_path):
    coco = coco_file(tmp_path, document(annotation(id=float("nan"), bbox=None)))
    write_label_report(label_report(coco, set(), select_boxes(coco)[1]), tmp_path / "report.json")
    text = (tmp_path / "report.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["records"][0]["annotation_id"] is None


def test_the_nasty_file_comes_out_whole_and_loads_in_pycocotools(shared, tmp_path):
    coco = read_coco(shared / "data/nasty/annotations/nasty.json")
    boxes, notes = select_boxes(coco)
    labels = {box.position: MaskLabel(box_mask(box.xywh, box.image.width, box.image.height)) for box in boxes}
    write_label_file(coco, labels, notes, tmp_path / "out.json")
    result = COCO(str(tmp_path / "out.json"))
    before, after = coco.annotations, result.dataset["annotations"]
    assert len(after) == len(before) == 376
    for old, new in zip(before, after, strict=True):
        assert (new["id"], new["image_id"], new["category_id"]) == (old["id"], old["image_id"], old["category_id"])
    assert result.annToMask(after[0]).sum() == after[0]["area"] > 0
    assert result.dataset["images"] == list(coco.document["images"])
    assert after[33]["segmentation"] == before[33]["segmentation"]
    assert after[35] == before[35]


def nested(depth: int) -> str:
    """A stand-in for nested lists, which not every Python can write."""
    return f"<{depth} lists>"


def read_with_lists(path, content) -> CocoFile:
    text = re.sub(r'"<(\d+) lists>"', lambda found: "[" * int(found[1]) + "]" * int(found[1]), json.dumps(content))
    path.write_text(text)
    return read_coco(path)


@pytest.fixture(autouse=True)
def _writer_that_gives_up(monkeypatch):
    """How deep JSON can be written depends on the Python."""

    def limited(value):
        text = dumps(value)
        if b"[" * 300 in text:
            raise RecursionError("maximum recursion depth exceeded")
        return text

    monkeypatch.setattr("mal.labeling.label_file.dumps", limited)


def written_with(tmp_path, bad, where="annotations"):
    """The label file of two sound annotations around a bad one, or with a bad image; and all notes at its end."""
    records = [annotation(id=1), annotation(id=2), annotation(id=3)]
    content = document(*records)
    content[where][-2 if where == "annotations" else -1] |= bad
    coco = read_with_lists(tmp_path / "in.json", content)
    boxes, notes = select_boxes(coco)
    labels = {box.position: MaskLabel(RLE) for box in boxes}
    changes = write_label_file(coco, labels, notes, tmp_path / "out.json")
    labelled = np.isin(np.arange(3), list(labels))
    notes = settled(notes, changes, labelled, np.zeros(3, bool))
    report = label_report(coco, Positions(labelled), notes)
    write_label_report(report, tmp_path / "report.json")
    return json.loads((tmp_path / "out.json").read_text()), report


@pytest.mark.parametrize("key", ["extra", "mal", "score"])
def test_a_record_nested_too_deep_to_be_written_fails_alone(key, tmp_path):
    result, report = written_with(tmp_path, {key: nested(1000)})
    assert [record["segmentation"] for record in result["annotations"][::2]] == [dict(RLE)] * 2
    bad = result["annotations"][1]
    assert bad["area"] == 0
    assert bad["mal"]["status"] == "failed"
    assert "cannot be written" in bad["mal"]["reason"]
    assert (report["counts"]["labelled"], report["counts"]["failed"]) == (2, 1)


@pytest.mark.parametrize("where", ["images", "categories"])
def test_another_record_nested_too_deep_is_written_without_what_is_nested(where, tmp_path):
    result, report = written_with(tmp_path, {"extra": nested(1000), "kept": 5}, where)
    assert (result[where][-1]["extra"], result[where][-1]["kept"]) == (None, 5)
    assert report["counts"]["labelled"] == 3
    (note,) = [entry for entry in report["records"] if entry["action"] == "failed"]
    assert f"{where}[0] cannot be written" in note["reason"]


def test_a_box_nested_deep_is_told_in_short(tmp_path):
    _, report = written_with(tmp_path, {"bbox": nested(1000)})
    assert report["counts"]["labelled"] == 2
    assert all(len(entry["reason"]) < 200 for entry in report["records"])


@given(bad=st.dictionaries(st.sampled_from(["id", "bbox", "image_id", "extra", "mal"]), st.one_of(
    st.integers(1, 1000).map(nested), st.integers(-(2**80), 2**80), st.floats(), st.text(max_size=3)), min_size=1,
), width=st.integers(1, 2**31 - 1), height=st.integers(1, 2**31 - 1))  # fmt: skip
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_record_holds_the_others_get_their_masks(tmp_path, bad, width, height):
    records = [annotation(id=1), annotation(id=2, image_id=7) | bad, annotation(id=3)]
    content = document(*records)
    content["images"].append({"id": 7, "file_name": "huge.png", "width": width, "height": height})
    coco = read_with_lists(tmp_path / "in.json", content)
    boxes, notes = select_boxes(coco)
    labels = {box.position: MaskLabel(RLE) for box in boxes if box.position != 1}
    notes += [RecordNote(1, box.annotation_id, 7, "failed", "gone") for box in boxes if box.position == 1]
    write_label_file(coco, labels, notes, tmp_path / "out.json")
    result = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert [result[0]["segmentation"], result[2]["segmentation"]] == [dict(RLE)] * 2
    assert len(result) == 3
