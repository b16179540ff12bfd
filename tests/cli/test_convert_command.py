"""`mal convert` as a person uses it."""

from __future__ import annotations

import json

import pytest

from mal.cli import main
from tests.cli.small_runs import run_mal
from tests.formats.small_coco import RING, annotation, coco_of, document


@pytest.fixture
def source(tmp_path):
    return coco_of(tmp_path, document(annotation(5, RING), annotation(6, None), annotation(7, RING, iscrowd=1))).path


def test_a_conversion_says_what_was_written_and_what_was_not(source, tmp_path, capfd):
    outcome = run_mal(capfd, "convert", source, tmp_path / "out", "--to", "yolo-seg", "--report", tmp_path / "r.json")
    assert outcome.exit_code == 0
    assert f"{source} (coco) -> {tmp_path}/out (yolo-seg)" in outcome.out
    assert "2 images, 0 boxes, 1 mask, 2 classes" in outcome.out
    assert "left out, YOLO has no groups (iscrowd): 1 (annotation 7 of a.png)" in outcome.out
    assert "no place in the format for ids of annotations: 1" in outcome.out
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["written"] == {"images": 2, "boxes": 0, "masks": 1, "classes": 2}
    assert report["left_out"]["no mask (--to yolo keeps the box)"] == ["annotation 6 of a.png"]


def test_boxes_go_from_yolo_to_coco_and_their_masks_to_cvat(source, tmp_path, capfd):
    pictures = ["--images", str(tmp_path / "pictures"), "--pictures", "copy"]
    assert run_mal(capfd, "convert", source, tmp_path / "yolo", "--to", "yolo", *pictures).exit_code == 0
    outcome = run_mal(capfd, "convert", tmp_path / "yolo", tmp_path / "boxes.json")
    assert outcome.exit_code == 0
    assert f"the pictures: --images {tmp_path}/yolo/images\n" in outcome.out
    boxes = json.loads((tmp_path / "boxes.json").read_text())
    assert [record["category_id"] for record in boxes["annotations"]] == [2, 2]
    assert run_mal(capfd, "convert", tmp_path / "boxes.json", tmp_path / "boxes.zip").exit_code == 0


def test_polygons_with_few_corners_are_told_object_by_object(source, tmp_path, capfd):
    few = ["--max-corners", "8", "--min-iou", "0.5", "--report", tmp_path / "r.json"]
    outcome = run_mal(capfd, "convert", source, tmp_path / "out.json", *few)
    assert outcome.exit_code == 0
    assert "polygons: 8.0 corners an object, 8 at most; IoU with the masks 0." in outcome.out
    (told,) = json.loads((tmp_path / "r.json").read_text())["polygons"]
    assert (told["annotation"], told["corners"]) == ("annotation 5 of a.png", 8)
    assert 0.5 <= told["iou"] < 1
    (ring, _, _) = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert sum(map(len, ring["segmentation"])) == 16


@pytest.mark.parametrize(("out", "table"), [("out.json", "out.boxes.csv"), ("labels.v2", "labels.v2.boxes.csv")])
def test_tightened_boxes_are_in_the_output_and_in_a_table_beside_it(source, tmp_path, capfd, out, table):
    command = ["convert", source, tmp_path / out, "--to", "coco" if out == "out.json" else "labelme"]
    outcome = run_mal(capfd, *command, "--grow", "20%", "--tighten-boxes")
    assert outcome.exit_code == 0
    assert "boxes tightened to their masks: 1; IoU of old and new 0.677" in outcome.out
    assert (tmp_path / table).read_text().splitlines()[1].startswith("5,7,a.png,nut & co,1,2,11,8,0,")
    (line,) = run_mal(
        capfd, *command[:2], tmp_path / "x" / out, *command[3:], "--tighten-boxes", "--report", tmp_path / "x" / table
    ).error_lines
    assert "give the report another name" in line


def test_nothing_is_overwritten_unless_asked(source, tmp_path, capfd):
    for out, name in (("out", "png"), ("out.json", "coco")):
        command = ["convert", source, tmp_path / out, "--to", name]
        assert run_mal(capfd, *command).exit_code == 0
        (line,) = run_mal(capfd, *command).error_lines
        assert "--overwrite" in line
        assert run_mal(capfd, *command, "--overwrite").exit_code == 0
    (line,) = run_mal(capfd, "convert", source, source, "--overwrite").error_lines
    assert "IN and OUT are the same" in line


@pytest.mark.parametrize("file", ["tasks.label_config.xml", "report.json"])
def test_files_beside_the_output_are_not_overwritten_either(source, tmp_path, capfd, file):
    (tmp_path / file).write_text("mine")
    command = ["convert", source, tmp_path / "tasks.json", "--to", "label-studio", "--report", tmp_path / "report.json"]
    (line,) = run_mal(capfd, *command).error_lines
    assert f"{file} is there already" in line
    assert (tmp_path / file).read_text() == "mine"
    assert run_mal(capfd, *command, "--overwrite").exit_code == 0
    assert (tmp_path / file).read_text() != "mine"


def test_files_of_other_names_survive_overwriting(source, tmp_path, capfd):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    assert run_mal(capfd, "convert", source, tmp_path / "out", "--to", "labelme", "--overwrite").exit_code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"mine.txt", "a.json", "deep", "labels.txt"}


def test_a_conversion_that_fails_leaves_nothing_behind(tmp_path, capfd):
    broken = coco_of(tmp_path, document(annotation(5, RING), annotation(6, RING, category_id=99))).path
    before = sorted(tmp_path.iterdir())
    outcome = run_mal(capfd, "convert", broken, tmp_path / "out", "--to", "labelme")
    assert outcome.exit_code == 1
    (line,) = outcome.error_lines
    assert "annotation 6 of a.png, category_id 99: its category is not in the list of categories" in line
    assert sorted(tmp_path.iterdir()) == before
    outcome = run_mal(capfd, "convert", broken, tmp_path / "out", "--to", "labelme", "--skip-broken")
    assert outcome.exit_code == 1
    assert "left out, broken: its category is not in the list" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone.json", "out.json"], "gone.json does not exist"),
        (["{source}", "out"], "say it with --to"),
        (["{source}", "out.json", "--images", "gone"], "--images gone: no such folder"),
        (["{source}", "out.json", "--pictures", "copy"], "coco has no place for pictures"),
        (["{source}", "out", "--to", "yolo", "--pictures", "copy"], "needs --images DIR"),
        (["{source}", "out.json", "--from", "label-studio"], "list of tasks"),
        (["{source}", "out.json", "--from", "cvat"], "no zip archive"),
        (["{source}", "out.json", "--from", "csv"], "a table of boxes"),
        (["{source}", "out.json", "--from", "voc"], "not an annotation file in XML"),
        (["{source}", "out.json", "--from", "yolo"], "class names"),
        (["{source}", "out.json", "--from", "labelme"], "not a LabelMe file"),
        (["{source}", "out.json", "--from", "png"], "legend"),
        (["{source}", "out", "--to", "png", "--max-corners", "9"], "png has no polygons"),
        (["{source}", "out.json", "--max-corners", "9", "--shapes", "masks"], "leave --shapes masks out"),
        (["{source}", "out.json", "--max-corners", "9", "--tolerance", "1"], "choose one"),
        (["{source}", "out.json", "--min-iou", "0.9"], "goes with --max-corners"),
    ],
)
def test_a_mistake_is_one_line(source, tmp_path, capfd, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    outcome = run_mal(capfd, "convert", *(str(source) if word == "{source}" else word for word in arguments))
    assert outcome.exit_code == 1
    (line,) = outcome.error_lines
    assert words in line
    assert "unexpected" not in line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a", "b", "--to", "tiff"],
        ["a", "b", "--tolerance", "-1"],
        ["a", "b", "--max-corners", "3"],
        ["a", "b", "--min-iou", "1.1"],
        ["a", "b", "--grow", "2px"],
        ["a", "b", "--grow", "2", "--shrink", "1"],
    ],
)
def test_wrong_usage_ends_with_code_2(arguments):
    assert main(["convert", *arguments]) == 2


@pytest.mark.parametrize(
    ("name", "out"),
    [("coco", "o.json"), ("cvat", "o.zip"), ("label-studio", "o.json"), ("labelme", "o"), ("png", "o"), ("yolo", "o")],
)
def test_of_the_nasty_file_every_annotation_is_written_or_named(shared, tmp_path, capfd, name, out):
    nasty = shared / "data" / "nasty"
    command = ["convert", nasty / "annotations" / "nasty.json", tmp_path / out, "--to", name, "--skip-broken"]
    outcome = run_mal(capfd, *command, "--images", nasty / "images", "--report", tmp_path / "report.json")
    assert outcome.exit_code == 1
    report = json.loads((tmp_path / "report.json").read_text())
    named = [
        where for names in report["left_out"].values() for where in names if "annotation" in where.split("json: ")[-1]
    ]
    count = len(json.loads((nasty / "annotations" / "nasty.json").read_text())["annotations"])
    assert report["written"]["boxes"] + report["written"]["masks"] + len(named) == count


@pytest.mark.parametrize(
    ("to", "broken"),
    [
        ("yolo-seg", "mal.formats.yolo_out.outline"),
        ("labelme", "mal.formats.labelme.mask_from_rle"),
        ("label-studio", "mal.formats.label_studio.mask_from_rle"),
        ("png", "mal.formats.png_masks.mask_from_rle"),
        ("cvat", "mal.formats.coco_out.decode_mask"),
        ("coco", "mal.formats.coco_out.decode_mask"),
    ],
)
def test_an_unexpected_error_in_a_writer_names_file_and_record(source, tmp_path, capfd, monkeypatch, to, broken):
    monkeypatch.setattr(broken, lambda *_, **__: 1 // 0)
    outcome = run_mal(capfd, "convert", source, tmp_path / "out", "--to", to)
    assert outcome.exit_code == 1
    (line,) = outcome.error_lines
    record = "annotation 5" if to in ("cvat", "coco") else 'image "a.png"'
    assert line.startswith(f"mal: error: {source}: {record}: unexpected ZeroDivisionError")
    assert not (tmp_path / "out").exists()


def test_an_unexpected_error_in_a_reader_names_the_file(source, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("mal.tasks.convert.read_something", lambda *_: 1 // 0)
    (line,) = run_mal(capfd, "convert", source, tmp_path / "out.json").error_lines
    assert line.startswith(f"mal: error: {source}: unexpected ZeroDivisionError")


@pytest.mark.parametrize("report", ["tasks.json", "tasks.label_config.xml"])
def test_the_report_does_not_take_the_place_of_the_output(source, tmp_path, capfd, report):
    command = ["convert", source, tmp_path / "tasks.json", "--to", "label-studio", "--report", tmp_path / report]
    (line,) = run_mal(capfd, *command).error_lines
    assert "give the report another name" in line
