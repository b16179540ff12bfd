from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from mal.cli import main
from tests.cli.small_runs import run_mal
from tests.coco.coco_samples import annotation, document


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A picture of 100 x 80 pixels in `photos`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photos/a.png")
    return tmp_path


def write(*annotations, name="boxes.json", **other) -> str:
    Path(name).write_text(json.dumps(document(*annotations, **other)))
    return name


def checked(capfd, *arguments) -> tuple[int, dict]:
    outcome = run_mal(capfd, "check", "--json", *arguments)
    return outcome.exit_code, json.loads(outcome.out, parse_constant=pytest.fail)


def test_a_sound_file_is_called_good(folder, capfd):
    outcome = run_mal(capfd, "check", write(annotation(), annotation(id=11, iscrowd=1)), "photos")
    assert outcome.exit_code == 0
    assert "good: all 1 annotations would be labelled; 1 group regions would be copied" in outcome.out
    assert "nut" in outcome.out


SOUND = ([2, 10, 20, 40], [30, 45, 20, 17], [50, 40, 18, 30], [75, 25, 16, 33], [28, 20, 9, 14], [60, 26, 14, 16])
OTHER_CONVENTIONS = {
    "x0 y0 x1 y1": lambda x, y, w, h: [x, y, x + w, y + h],
    "normalised": lambda x, y, w, h: [x / 100, y / 80, w / 100, h / 80],
}


@pytest.mark.parametrize("looks", OTHER_CONVENTIONS)
def test_boxes_of_another_convention_are_to_be_looked_at_and_change_no_exit_code(folder, capfd, looks):
    boxes = [annotation(id=id, bbox=OTHER_CONVENTIONS[looks](*box)) for id, box in enumerate(SOUND)]
    outcome = run_mal(capfd, "check", write(*boxes), "photos")
    assert outcome.exit_code == 0
    assert "good" not in outcome.out
    assert "look at these before a run; all 6 annotations would be labelled" in outcome.out
    assert looks in outcome.out.split("look at these")[1]


def test_boxes_of_another_convention_are_told_in_json_too(folder, capfd):
    boxes = [annotation(id=id, bbox=OTHER_CONVENTIONS["normalised"](*box)) for id, box in enumerate(SOUND)]
    exit_code, document = checked(capfd, write(*boxes), "photos")
    (reason,) = document["files"][0]["look_at"]
    assert (exit_code, "all 6 boxes lie within 0..1" in reason) == (0, True)


def test_boxes_of_the_picture_before_it_was_made_smaller_are_named_as_outside(folder, capfd):
    boxes = [annotation(id=id, bbox=[2 * side for side in box]) for id, box in enumerate(SOUND)]
    outcome = run_mal(capfd, "check", write(*boxes), "photos")
    assert outcome.exit_code == 1
    assert "4 of 6 annotations would get no mask" in outcome.out


def test_an_annotation_that_would_get_no_mask_is_named_with_what_to_do(folder, capfd):
    file = write(annotation(), annotation(id=11, bbox=None), annotation(id=12, bbox=[-5, 0, 20, 20]))
    outcome = run_mal(capfd, "check", file, "photos")
    assert outcome.exit_code == 1
    assert "2 labelled (1 clipped), 1 skipped" in outcome.out
    assert "1 of 3 annotations would get no mask:" in outcome.out
    assert "1 for their records: mend those in boxes.json" in outcome.out


def test_boxes_of_a_picture_that_cannot_be_read_would_fail(folder, capfd):
    images = [{"id": n, "file_name": f"{name}.png", "width": 100, "height": 80} for n, name in enumerate("ab")]
    file = write(annotation(image_id=0), annotation(id=11, image_id=1), images=images)
    outcome = run_mal(capfd, "check", file, "photos")
    assert outcome.exit_code == 1
    assert "1 for their 1 pictures: mend those under photos or their records" in outcome.out


def test_a_picture_that_nobody_needs_is_mentioned_only(folder, capfd):
    images = [{"id": n, "file_name": f"{name}.png", "width": 100, "height": 80} for n, name in enumerate("ab")]
    outcome = run_mal(capfd, "check", write(annotation(image_id=0), images=images), "photos")
    assert outcome.exit_code == 0
    assert "cannot be read, and has no boxes" in " ".join(outcome.out.split())


def test_json_has_every_record_and_nothing_else_is_printed(folder, capfd):
    annotations = [annotation(id=n, bbox=[0, 0, 0, 5]) for n in range(40)]
    exit_code, document = checked(capfd, write(*annotations, annotation(id=99)), "photos", "--limit", "1")
    assert (exit_code, document["ok"]) == (1, False)
    (file,) = document["files"]
    assert [record["annotation_id"] for record in file["records"]] == list(range(40))
    assert file["counts"]["labelled"] == 1
    assert file["boxes"]["classes"] == {"nut": 1}
    assert file["boxes"]["sizes"] == {"small": 0, "medium": 1, "large": 0}
    assert file["image_counts"]["without_boxes"] == 0


def test_json_goes_to_a_file_beside_the_tables(folder, capfd):
    outcome = run_mal(capfd, "check", write(annotation()), "photos", "--out", "new/check.json")
    assert "good" in outcome.out
    assert json.loads(Path("new/check.json").read_text())["ok"]


def test_only_as_many_as_asked_are_named_for_each_kind(folder, capfd):
    annotations = [annotation(id=100 + n, bbox=[0, 0, 0, 5]) for n in range(9)]
    outcome = run_mal(capfd, "check", write(*annotations), "photos", "--limit", "2")
    assert "and 7 more" in outcome.out
    assert "102" not in outcome.out


def test_names_that_no_terminal_takes_are_escaped(folder, capfd):
    categories = [{"id": 3, "name": "\ud800"}, {"id": 4, "name": "\x1b[31mred"}]
    file = write(annotation(id="\ud801"), annotation(category_id=4), categories=categories)
    outcome = run_mal(capfd, "check", file, "photos")
    assert outcome.exit_code == 0
    assert "\\ud800" in outcome.out
    assert "\x1b[31mred" not in outcome.out


def test_deep_finds_masks_that_cannot_be_read(folder, capfd):
    file = write(annotation(segmentation={"size": [80, 100], "counts": [1, 2]}))
    assert checked(capfd, file, "photos")[1]["files"][0]["records"] == []
    exit_code, document = checked(capfd, file, "photos", "--deep")
    assert exit_code == 0
    assert "mask not readable" in document["files"][0]["records"][0]["reason"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("{}", 'the key "images" is missing'),
        ('{"images": [', "cut off"),
        ("[]", "top level is a list"),
    ],
)
def test_a_file_that_is_no_coco_file_is_one_line(folder, capfd, content, said):
    Path("boxes.json").write_text(content)
    outcome = run_mal(capfd, "check", "boxes.json", "photos")
    assert outcome.exit_code == 1
    (line,) = outcome.error_lines
    assert said in line


def test_json_of_a_refused_file_is_still_json(folder, capfd):
    exit_code, document = checked(capfd, "no.json", "photos")
    assert exit_code == 1
    assert "no.json does not exist" in document["files"][0]["refused"]


@pytest.mark.parametrize(("images", "said"), [("no", "no such folder"), ("boxes.json", "is a file; must be a folder")])
def test_a_folder_of_images_that_is_none_is_named(folder, capfd, images, said):
    outcome = run_mal(capfd, "check", write(annotation()), images)
    assert (outcome.exit_code, outcome.err) == (1, f"mal: error: {images}: {said}\n")


@pytest.mark.parametrize("line", ["", "boxes.json", "a b c", "-e spec.yaml password", "a b --limit 0", "a b --dep"])
def test_wrong_usage_ends_with_2(line, folder, capsys):
    assert main(["check", *line.split()]) == 2
    assert "password" not in capsys.readouterr().err


def spec(**dataset) -> str:
    Path("spec.yaml").write_text(yaml.safe_dump(dataset))
    return "spec.yaml"


def test_the_files_of_all_tasks_of_a_spec_are_checked_each_once(folder, capfd):
    small, large = annotation(id=1, bbox=[1, 1, 9, 9]), annotation(id=2, bbox=[1, 1, 60, 60])
    dataset = {"train_ann_path": write(small, large), "train_img_dir": "photos"}
    dataset |= {"val_ann_path": write(small, name="val.json"), "val_img_dir": "photos"}
    inference = {"ann_path": "val.json", "img_dir": "photos"}
    exit_code, document = checked(capfd, "-e", spec(dataset=dataset, inference=inference), "dataset.min_obj_size=100")
    assert exit_code == 0
    assert [file["used_for"] for file in document["files"]] == [["training"], ["validation", "labelling"]]
    assert [file["boxes"]["trained_on"] for file in document["files"]] == [1, None]


def test_a_training_file_whose_boxes_are_all_too_small_is_not_good(folder, capfd):
    dataset = {"train_ann_path": write(annotation(bbox=[1, 1, 9, 9])), "train_img_dir": "photos"}
    outcome = run_mal(capfd, "check", "-e", spec(dataset=dataset))
    assert outcome.exit_code == 1
    assert "training would not start" in outcome.out


def test_masks_that_labelling_would_keep_are_counted_apart(folder, capfd):
    file = write(annotation(segmentation=[[1, 1, 9, 1, 9, 9]], bbox=None), annotation(id=11))
    inference = {"ann_path": file, "img_dir": "photos", "keep_existing_masks": True}
    exit_code, document = checked(capfd, "-e", spec(inference=inference))
    counts = document["files"][0]["counts"]
    assert (exit_code, counts["kept"], counts["labelled"], counts["skipped"]) == (0, 1, 1, 0)


def test_one_bad_file_of_a_spec_does_not_hide_the_others(folder, capfd):
    dataset = {"train_ann_path": "no.json", "train_img_dir": "photos"}
    inference = {"ann_path": write(annotation()), "img_dir": "photos"}
    outcome = run_mal(capfd, "check", "-e", spec(dataset=dataset, inference=inference))
    assert outcome.exit_code == 1
    assert "good" in outcome.out
    assert outcome.error_lines == ["mal: error: no.json does not exist: give the path of a COCO annotation file"]


def test_a_spec_that_names_half_a_source_or_none_is_refused(folder, capfd):
    assert "train_img_dir together" in run_mal(capfd, "check", "-e", spec(dataset={"train_ann_path": "a"})).err
    assert "names no annotation file" in run_mal(capfd, "check", "-e", spec(strategy="ddp")).err


def test_names_in_the_file_cannot_steer_the_terminal(folder, capfd):
    name = "\x1b[2J\x1b]52;c;ZXZpbA==\x1b\\\u202e\n[red].png"
    images = [{"id": 1, "file_name": name, "width": 100, "height": 80}]
    outcome = run_mal(capfd, "check", write(annotation(), images=images), "photos")
    assert not set(outcome.out + outcome.err) & set("\x1b\u202e")
    assert "[red].png" in outcome.out


SQUARE, BELOW = [[10, 20, 40, 20, 40, 60, 10, 60]], [[10, 120, 40, 120, 40, 160]]


def test_deep_says_how_many_masks_say_nothing_of_their_box(folder, capfd):
    corner = [[10, 20, 18, 20, 18, 28, 10, 28]]
    shapes = [SQUARE, BELOW, corner, BELOW]
    file = write(*(annotation(id=id, segmentation=shape) for id, shape in enumerate(shapes)))
    outcome = run_mal(capfd, "check", file, "photos", "--deep")
    assert outcome.exit_code == 0
    assert "look at these before a run; all 4 annotations would be labelled" in outcome.out
    assert "2 boxes like annotation 1: its mask has no pixel" in outcome.out
    assert "1 boxes like annotation 2: its mask does not fit its box" in outcome.out
    assert "4 of the boxes have one in the file, 1 to compare with" in " ".join(outcome.out.split())


def test_a_file_of_which_no_mask_is_left_to_compare_with_is_not_good(folder, capfd):
    file = write(*(annotation(id=id, segmentation=BELOW) for id in range(3)))
    outcome = run_mal(capfd, "check", file, "photos", "--deep")
    assert outcome.exit_code == 1
    assert "good" not in outcome.out
    assert "evaluation would not start" in outcome.out
    exit_code, document = checked(capfd, file, "photos", "--deep")
    assert (exit_code, document["files"][0]["boxes"]["masks_that_fit"]) == (1, 0)
