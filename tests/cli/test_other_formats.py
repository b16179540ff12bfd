"""Commands that read COCO say what other annotations are, and the line that makes a COCO file of them."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tests.cli.small_runs import run_mal
from tests.formats.small_coco import document


def yolo(folder):
    (folder / "yolo/images").mkdir(parents=True)
    (folder / "yolo/labels").mkdir()
    Image.new("RGB", (20, 10)).save(folder / "yolo/images/a.png")
    (folder / "yolo/labels/a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (folder / "yolo/data.yaml").write_text("train: images\nnames: [nut]\n")
    return "yolo"


def voc(folder):
    (folder / "voc").mkdir()
    (folder / "voc/a.xml").write_text("<annotation></annotation>")
    return "voc"


def labelme(folder):
    (folder / "a.json").write_text(json.dumps({"version": "5", "shapes": [], "imagePath": "a.png"}))
    return "a.json"


def label_studio(folder):
    (folder / "tasks.json").write_text(json.dumps([{"data": {"image": "a.png"}, "annotations": []}]))
    return "tasks.json"


def cvat(folder):
    (folder / "annotations.xml").write_text("<annotations></annotations>")
    return "annotations.xml"


SOURCES = [
    (yolo, "a YOLO data set"),
    (voc, "Pascal VOC"),
    (labelme, "LabelMe"),
    (label_studio, "a list of Label Studio's tasks"),
    (cvat, "CVAT's XML"),
]


@pytest.mark.parametrize(("make", "name"), SOURCES)
@pytest.mark.parametrize("command", ["check", "label", "report", "train", "evaluate", "inference"])
def test_a_source_in_another_format_is_named_with_the_line_to_type(tmp_path, monkeypatch, capfd, make, name, command):
    monkeypatch.chdir(tmp_path)
    source = make(tmp_path)
    (tmp_path / "m.pth").write_bytes(b"")
    (tmp_path / "photos").mkdir()
    dataset = f"train_ann_path: {source}, train_img_dir: photos, val_ann_path: {source}, val_img_dir: photos"
    content = (
        f"dataset: {{{dataset}}}\nevaluate: {{checkpoint: m.pth}}\n"
        f"inference: {{checkpoint: m.pth, ann_path: {source}, img_dir: photos}}\n"
    )
    files = ["--ann", source, "--images", "photos"]
    arguments = {
        "check": [source, "photos"],
        "label": [*files, "--checkpoint", "m.pth", "--out", "out.json"],
        "report": files,
    }.get(command, ["-e", "spec.yaml"])
    (tmp_path / "spec.yaml").write_text(content)
    outcome = run_mal(capfd, command, *arguments)
    assert outcome.exit_code == 1
    assert f"{source} is {name}, not a COCO file: `mal convert {source} boxes.json` makes one" in outcome.err


def test_a_folder_with_one_coco_file_is_answered_with_that_file(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train/_annotations.coco.json").write_text(json.dumps(document()))
    outcome = run_mal(capfd, "check", "train", "train")
    assert "train is a folder: give _annotations.coco.json in it" in outcome.err


def test_a_list_of_results_is_told_as_before(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "boxes.json").write_text(json.dumps([{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]))
    outcome = run_mal(capfd, "check", "boxes.json", "photos")
    assert outcome.exit_code == 1
    assert "boxes.json: the top level is a list, but a COCO file is" in outcome.err
