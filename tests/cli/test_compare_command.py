from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mal.cli import main
from mal.masks.rle import empty_rle, rle_from_window
from mal.tasks.compare import Candidate, CompareOptions
from tests.cli.small_runs import run_mal
from tests.export.exported import small_checkpoint

SIDE = 64


def mask(x: int, y: int, width: int, height: int):
    return rle_from_window(np.ones((height, width), bool), x0=x, y0=y, image_width=SIDE, image_height=SIDE)


def coco(masks, *, ids=None):
    """A file of some pictures with two boxes of 20 x 20 pixels each; ``masks`` has one for each box, or None."""
    ids = ids or [100 + number for number in range(len(masks))]
    images = [
        {"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE} for number in range(len(masks) // 2)
    ]
    annotations = [
        {
            "id": ids[number],
            "image_id": number // 2,
            "category_id": 1 + number % 2,
            "bbox": [4 + 30 * (number % 2), 10, 20, 20],
            "iscrowd": 0,
            **({"segmentation": each} if each else {}),
        }
        for number, each in enumerate(masks)
    ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "left"}, {"id": 2, "name": "right"}],
    }


def masks_of_width(*widths: int):
    return [mask(4 + 30 * (number % 2), 10, width, 20) if width else None for number, width in enumerate(widths)]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """True masks that fill their boxes, pictures, and two label files: one with halves, one with three quarters."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "photos" / f"{number}.png")
    write(tmp_path, truth=[20] * 6, a=[10] * 6, b=[15] * 6)
    return tmp_path


def write(folder: Path, **widths: list[int]) -> None:
    for name, values in widths.items():
        (folder / f"{name}.json").write_text(json.dumps(coco(masks_of_width(*values))))


def result(folder: Path):
    return json.loads((folder / "compare" / "compare.json").read_text())


def test_label_files_are_held_against_true_masks(folder, capfd):
    outcome = run_mal(capfd, "compare", "a.json", "b.json", "--truth", "truth.json", "--images", "photos")
    assert outcome.exit_code == 0
    found = result(folder)
    assert (found["boxes"], found["images"]) == (6, 3)
    figure = found["figures"]["miou_instances"]
    assert figure["values"] == {"a": 0.5, "b": 0.75}
    assert figure["differences"]["b"]["mean"] == 0.25
    assert figure["differences"]["b"]["interval"] == [0.25, 0.25]
    assert figure["differences"]["b"]["verdict"] == "better"
    assert found["figures"]["share_iou_75"]["values"] == {"a": 0.0, "b": 1.0}
    assert found["changes"]["b"] == {"higher": 6, "lower": 0, "equal": 0}
    assert found["remarks"] == []
    assert "+0.250 [+0.250, +0.250]" in outcome.out


def test_the_page_needs_no_other_file(folder, capfd):
    run_mal(capfd, "compare", "a.json", "b.json", "--truth", "truth.json", "--images", "photos", "--pictures", "4")
    page = (folder / "compare" / "compare.html").read_text()
    assert page.count('href="data:image/jpeg;base64,') == 2
    assert "http" not in page.replace("http-equiv", "")
    assert "src=" not in page
    assert "<script" not in page


def test_classes_are_written_for_spreadsheets(folder, capfd):
    run_mal(capfd, "compare", "a.json", "b.json", "--truth", "truth.json")
    with (folder / "compare" / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["category"], row["run"], row["miou"], row["difference"]) for row in rows] == [
        ("left", "a", "0.5", ""),
        ("left", "b", "0.75", "0.25"),
        ("right", "a", "0.5", ""),
        ("right", "b", "0.75", "0.25"),
    ]


def test_a_file_held_against_itself_shows_no_difference(folder, capfd):
    outcome = run_mal(capfd, "compare", "one=a.json", "two=a.json", "--truth", "truth.json")
    assert outcome.exit_code == 0
    differences = [figure["differences"]["two"] for figure in result(folder)["figures"].values()]
    assert all((each["mean"], each["certainty"], each["verdict"]) == (0, 0, "same") for each in differences)


def test_boxes_that_one_file_lacks_are_counted_and_left_out(folder, capfd):
    write(folder, b=[15, 0, 15, 15, 0, 15])
    outcome = run_mal(capfd, "compare", "a.json", "b.json", "--truth", "truth.json")
    assert outcome.exit_code == 0
    assert result(folder)["boxes"] == 4
    assert "2 boxes with a true mask have no mask in b" in outcome.out
    assert "2 of the 6 boxes of a are not in all runs and are left out" in outcome.out


def test_a_true_mask_without_a_pixel_takes_no_part_and_is_counted(folder, capfd):
    document = coco(masks_of_width(20, 20, 20, 20, 20, 20))
    document["annotations"][0]["segmentation"] = empty_rle(SIDE, SIDE)
    (folder / "truth.json").write_text(json.dumps(document))
    outcome = run_mal(capfd, "compare", "a.json", "b.json", "--truth", "truth.json")
    assert outcome.exit_code == 0
    assert result(folder)["boxes"] == 5
    assert result(folder)["figures"]["miou_instances"]["values"]["a"] == pytest.approx(0.5)
    assert "truth.json: in no figure: 1 boxes like annotation 100: its mask has no pixel" in outcome.out
    assert "have no mask in" not in outcome.out


def test_true_masks_of_which_none_is_left_are_an_error(folder, capfd):
    document = coco([empty_rle(SIDE, SIDE)] * 6)
    (folder / "truth.json").write_text(json.dumps(document))
    outcome = run_mal(capfd, "compare", "a.json", "b.json", "--truth", "truth.json")
    assert outcome.exit_code == 1
    (line,) = outcome.error_lines
    assert "truth.json: no mask is left to compare with (6 boxes like annotation 100: its mask has no pixel" in line


def test_a_box_that_labelling_failed_on_counts_as_not_labelled(folder, capfd):
    document = json.loads((folder / "b.json").read_text())
    document["annotations"][0]["mal"] = {"status": "failed", "reason": "its image is damaged"}
    (folder / "b.json").write_text(json.dumps(document))
    run_mal(capfd, "compare", "a.json", "b.json", "--truth", "truth.json")
    assert result(folder)["boxes"] == 5


def test_a_damaged_mask_is_named(folder, capfd):
    document = json.loads((folder / "b.json").read_text())
    document["annotations"][3]["segmentation"]["size"] = [9, 9]
    (folder / "b.json").write_text(json.dumps(document))
    outcome = run_mal(capfd, "compare", "a.json", "b.json", "--truth", "truth.json")
    assert "b.json: 1 masks cannot be read, for instance annotation 103: the RLE has size [9, 9]" in outcome.out
    assert result(folder)["boxes"] == 5


def test_annotations_are_found_by_their_ids_in_whatever_order_they_come(folder, capfd):
    document = coco(masks_of_width(20, 10, 20, 10, 20, 10))
    document["annotations"].reverse()
    (folder / "b.json").write_text(json.dumps(document))
    run_mal(capfd, "compare", "a.json", "b.json", "--truth", "truth.json")
    classes = result(folder)["classes"]
    assert (classes["left"]["values"]["b"], classes["right"]["values"]["b"]) == (1.0, 0.5)


def test_files_without_a_common_box_are_refused(folder, capfd):
    (folder / "b.json").write_text(json.dumps(coco(masks_of_width(*[15] * 6), ids=list(range(6)))))
    outcome = run_mal(capfd, "compare", "a.json", "b.json", "--truth", "truth.json")
    assert outcome.exit_code == 1
    assert "no box is in all runs: a has 6, b has 0" in outcome.err


def test_without_pictures_the_page_has_figures_only_and_says_why(folder, capfd):
    outcome = run_mal(capfd, "compare", "a.json", "b.json", "--truth", "truth.json")
    assert "not on the page: pictures" in outcome.out
    assert "--images" in outcome.out
    assert "+0.250" in (folder / "compare" / "compare.html").read_text()


def test_checkpoints_are_evaluated_first_and_stay_comparable_afterwards(folder, capfd):
    small_checkpoint(folder / "a.pth")
    small_checkpoint(folder / "b.pth", stem="conv")
    (folder / "spec.yaml").write_text(
        "results_dir: out\ndataset: {val_ann_path: truth.json, val_img_dir: photos, crop_size: 64, "
        "num_workers_per_gpu: 0}\ntrain: {mask_thres: [0.5]}\n"
    )
    outcome = run_mal(capfd, "compare", "a.pth", "b.pth", "-e", "spec.yaml")
    assert outcome.exit_code == 0, outcome.err
    found = json.loads((folder / "out/compare/compare.json").read_text())
    assert found["boxes"] == 6
    assert found["remarks"] == []
    for name, value in found["figures"]["miou_classes"]["values"].items():
        metrics = json.loads((folder / "out/compare" / name / "metrics.json").read_text())
        assert value == pytest.approx(metrics["model"]["miou_classes"], abs=1e-6)
    again = "a.pth", "base=out/compare/a", "-e", "spec.yaml", "train.mask_thres=[0.3]", "--out", "again"
    outcome = run_mal(capfd, "compare", *again)
    assert outcome.exit_code == 0, outcome.err
    assert "train.mask_thres differs: a [0.3], base [0.5]" in outcome.out


@pytest.fixture
def asked(folder, monkeypatch) -> list[CompareOptions]:
    """What the task was asked to do."""
    options: list[CompareOptions] = []
    task = SimpleNamespace(run=lambda given: options.append(given) or 0)
    monkeypatch.setitem(sys.modules, "mal.tasks.compare", task)
    monkeypatch.setattr("mal.tasks.compare", task, raising=False)
    for name in ("runs/x/evaluate", "runs/y/evaluate"):
        (folder / name).mkdir(parents=True)
    (folder / "m.pth").write_text("")
    (folder / "n.pth").write_text("")
    return options


def compare(line: str) -> int:
    return main(["compare", *line.split()])


def test_folders_are_called_by_the_name_of_their_run(asked):
    assert compare("runs/x/evaluate runs/y/evaluate") == 0
    assert [each.name for each in asked[0].contenders] == ["x", "y"]
    assert {each.kind for each in asked[0].contenders} == {"results"}
    assert asked[0].out == Path("compare")


def test_files_of_one_name_are_told_apart_by_their_folders(asked, folder):
    for name in ("x", "y"):
        (folder / "runs" / name / "masks.json").write_text("")
    assert compare("runs/x/masks.json runs/y/masks.json m.pth=a.json --truth truth.json") == 0
    assert [each.name for each in asked[0].contenders] == ["x_masks", "y_masks", "m.pth"]


def test_names_can_be_given(asked):
    assert compare("old=a.json runs/y/evaluate --truth truth.json --out there") == 0
    assert asked[0].contenders == (
        Candidate("old", Path("a.json"), "labels"),
        Candidate("y", Path("runs/y/evaluate"), "results"),
    )
    assert (asked[0].truth, asked[0].out) == ("truth.json", Path("there"))


def test_checkpoints_are_evaluated_as_a_spec_says(asked, folder):
    (folder / "spec.yaml").write_text(
        "results_dir: out\ndataset: {val_ann_path: truth.json, val_img_dir: photos}\nevaluate: {batch_size: 2}\n"
    )
    assert compare("first=m.pth second=n.pth -e spec.yaml evaluate.batch_size=7") == 0
    assert [(each.name, each.kind) for each in asked[0].contenders] == [
        ("first", "checkpoint"),
        ("second", "checkpoint"),
    ]
    assert asked[0].spec.evaluate.batch_size == 7
    assert asked[0].out == Path("out/compare")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a.json", "at least two"),
        ("a.json b.json", "--truth"),
        ("m.pth a.json --truth truth.json", "-e"),
        ("x=a.json x=b.json --truth truth.json", "two are called x"),
        ("a/b=a.json b.json --truth truth.json", "'a/b' cannot be the name of a folder"),
    ],
)
def test_wrong_usage_is_told_with_what_to_do(line, said, asked, capsys):
    assert compare(line) == 2
    assert said in capsys.readouterr().err
    assert not asked


def test_a_path_that_is_not_there_is_named(asked, capsys):
    assert compare("runs/x/evaluate runs/z/evaluate") == 1
    assert capsys.readouterr().err == "mal: error: runs/z/evaluate: no such file or folder\n"


def test_a_folder_without_an_evaluation_is_named(folder, capfd):
    (folder / "empty").mkdir()
    outcome = run_mal(capfd, "compare", "empty", "photos")
    assert outcome.error_lines == [
        "mal: error: empty: no instances.csv in it; `mal evaluate` writes one into its results folder"
    ]
