"""The set of broken files, records and pictures, labelled for real: everything ends as its table says."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mal.checkpoint.saved_spec import saved_spec
from mal.cli import main
from mal.masks.rle import mask_from_rle
from tests.small_networks import small_network, small_spec

# What an action of the report may be called in the table of expected outcomes.
WORDS = {
    "labelled": {"keep"},
    "clipped": {"keep", "clip"},
    "doubtful": {"flag", "report"},  # since nobody asked for scores, its mask is empty
    "skipped": {"flag", "report"},
    "failed": {"flag", "report"},
    "passed": {"pass", "keep"},
}
CROP_SIZE = 64
FRAME = 2.2  # sides of a crop's frame in those of its box
IDS = ("id", "image_id", "category_id")


@dataclass(frozen=True)
class Run:
    """What came of labelling one file."""

    exit_code: int
    text: str
    folder: Path

    def read(self, name: str) -> Any:
        """A JSON file of the run, which must be strict."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"), parse_constant=pytest.fail)

    @property
    def output(self) -> dict[str, Any]:
        return self.read("masks.json")

    @property
    def report(self) -> dict[str, Any]:
        return self.read("masks_report.json")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A network that finds something in every box: its logits are all positive."""
    network = small_network()
    for parameter in (*network.roi_head.parameters(), *network.mask_head.parameters()):
        torch.nn.init.uniform_(parameter, 0, 0.1)
    tensors = {f"{name}.{key}": value for name in ("student", "teacher") for key, value in network.state_dict().items()}
    spec = small_spec(dataset={"crop_size": CROP_SIZE}, train={"mask_thres": [0.3]})
    path = tmp_path_factory.mktemp("model") / "model.pth"
    torch.save({"state_dict": tensors, "hyper_parameters": saved_spec(spec, "patch")}, path)
    return path


def labelled(name: str, shared: Path, checkpoint: Path, folder: Path, *options: str) -> Run:
    """A file of the set, labelled in this process."""
    nasty = shared / "data/nasty"
    arguments = [
        "--ann",
        nasty / f"annotations/{name}.json",
        "--images",
        nasty / "images",
        "--out",
        folder / "masks.json",
    ]
    arguments += ["--checkpoint", checkpoint, "--device", "cpu", "--workers", "0", "--batch-size", "32"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        exit_code = main(["label", *map(str, arguments), *options])
    assert "Traceback" not in said.getvalue()
    return Run(exit_code, said.getvalue(), folder)


@pytest.fixture(scope="module")
def run(shared, checkpoint, tmp_path_factory) -> Run:
    """The big file, labelled."""
    return labelled("nasty", shared, checkpoint, tmp_path_factory.mktemp("nasty"))


@pytest.fixture(scope="module")
def given(shared) -> dict[str, Any]:
    """The big file as it is."""
    document: dict[str, Any] = json.loads((shared / "data/nasty/annotations/nasty.json").read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def expected(shared) -> dict[str, Any]:
    """Its tables of expected outcomes."""
    tables: dict[str, Any] = json.loads((shared / "data/nasty/expected.json").read_text(encoding="utf-8"))
    return tables


def actions(run: Run) -> list[str]:
    """What became of each annotation, by position."""
    found = ["labelled"] * run.report["counts"]["annotations"]
    for entry in run.report["records"]:
        if entry["annotation_index"] is not None and entry["action"] in WORDS:
            found[entry["annotation_index"]] = entry["action"]
    return found


def test_every_annotation_ends_as_the_table_says(run, expected):
    wrong = [
        (row["index"], row["annotation_id"], action, row["accept"])
        for row, action in zip(expected["annotations"], actions(run), strict=True)
        if not WORDS[action] & set(row["accept"])
    ]
    assert wrong == []


def test_the_images_end_as_the_table_says(run, given, expected):
    assert run.output["images"] == given["images"]
    unreadable = {entry["image_id"] for entry in run.report["records"] if entry["action"] == "failed"}
    assert unreadable == {row["image_id"] for row in expected["images"] if "keep" not in row["accept"]}
    for row in expected["images"]:
        if row["image_id"] in unreadable:
            reasons = [entry["reason"] for entry in run.report["records"] if entry["image_id"] == row["image_id"]]
            assert all(Path(row["file_name"]).name in reason for reason in reasons)


def test_the_counts_add_up_and_the_exit_code_says_that_not_all_is_done(run, given):
    counts = run.report["counts"]
    assert sum(counts[name] for name in ("labelled", "skipped", "passed", "failed", "kept")) == len(
        given["annotations"]
    )
    assert counts["annotations"] == len(run.output["annotations"]) == len(given["annotations"])
    assert run.exit_code == 1
    assert f"{counts['skipped']} skipped" in run.text


def test_masks_lie_in_their_image_and_box_and_only_named_ones_are_empty(run, given):
    images = {image["id"]: image for image in given["images"]}
    for before, after, action in zip(given["annotations"], run.output["annotations"], actions(run), strict=True):
        if action in ("labelled", "clipped"):
            image = images[before["image_id"]]
            mask = mask_from_rle(after["segmentation"])
            assert mask.shape == (image["height"], image["width"])
            assert after["area"] == mask.sum() > 0
            assert "mal" not in after
            assert within(mask, before["bbox"]), before["id"]
        elif action in ("skipped", "failed"):
            assert after["mal"]["status"] == action
            assert not mask_area(after) or after["segmentation"] == before["segmentation"]


def test_masks_of_thin_boxes_and_all_masks_when_asked_keep_to_the_box_to_the_pixel(
    run, given, shared, checkpoint, tmp_path
):
    strict_run = labelled("nasty", shared, checkpoint, tmp_path, "--within-box")
    assert touches_only(run, given, THIN_BOXES) == THIN_BOXES
    everything = {place for place, action in enumerate(actions(strict_run)) if action in ("labelled", "clipped")}
    assert touches_only(strict_run, given, everything) == everything


THIN_BOXES = {22, 23, 24, 25}


def touches_only(run: Run, given: dict[str, Any], positions: set[int]) -> set[int]:
    """Those of some masks that have no pixel which their box does not touch."""
    found = set()
    for position in positions:
        left, top, width, height = map(float, given["annotations"][position]["bbox"])
        rows, columns = np.nonzero(mask_from_rle(run.output["annotations"][position]["segmentation"]))
        across = left - 1 < columns.min() and columns.max() < left + width
        down = top - 1 < rows.min() and rows.max() < top + height
        found |= {position} if across and down else set()
    return found


def mask_area(record: dict[str, Any]) -> int:
    """Pixels of a record's mask, polygons counted as one; 0 without a mask."""
    segmentation = record.get("segmentation")
    return int(mask_from_rle(segmentation).sum()) if isinstance(segmentation, dict) else len(segmentation or [])


def within(mask: np.ndarray, bbox: list[float]) -> bool:
    """Whether a mask keeps to its box, but for the rounding of the box to pixels of the image and of the crop."""
    rows, columns = np.nonzero(mask)
    overhangs = [
        max(start - places.min(), places.max() + 1 - (start + side)) - 2 * FRAME * side / CROP_SIZE
        for places, start, side in ((columns, bbox[0], bbox[2]), (rows, bbox[1], bbox[3]))
    ]
    return max(overhangs) <= 1


def test_ids_classes_boxes_and_unknown_keys_are_as_they_were(run, given):
    for before, after in zip(given["annotations"], run.output["annotations"], strict=True):
        assert [after[key] for key in IDS] == [before[key] for key in IDS]
        for key in set(before) - {"segmentation", "area", "iscrowd"}:
            assert after[key] == (strict(before[key]) if key == "bbox" else before[key])
    assert run.output["categories"] == given["categories"]


def strict(bbox: Any) -> Any:
    """A box as strict JSON can hold it."""
    if not isinstance(bbox, list):
        return bbox
    return [None if isinstance(value, float) and not np.isfinite(value) else value for value in bbox]


def test_a_group_region_and_a_polygon_without_a_box_are_not_lost(run, given):
    before, after = given["annotations"], run.output["annotations"]
    assert after[35] == before[35]
    assert after[33]["segmentation"] == before[33]["segmentation"]


def test_what_is_not_plainly_labelled_is_in_the_table(run):
    with (run.folder / "masks_skipped.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["annotation_index"] for row in rows] == [
        str(entry["annotation_index"]) for entry in run.report["records"]
    ]
    assert {row["annotation_id"] for row in rows if row["action"] == "clipped"} == {"201", "202", "231"}
    assert all(row["done"] and row["reason"] for row in rows)


def test_the_check_says_before_what_the_run_says_afterwards(run, shared, capsys):
    nasty = shared / "data/nasty"
    assert main(["check", str(nasty / "annotations/nasty.json"), str(nasty / "images"), "--json"]) == 1
    (checked,) = json.loads(capsys.readouterr().out)["files"]
    told = [entry for entry in run.report["records"] if "written as null" not in entry["reason"]]
    assert checked["records"] == told
    assert {**checked["counts"], "warned": 0} == {**run.report["counts"], "warned": 0}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("empty", "is empty"),
        ("empty_object", '"images" is missing'),
        ("truncated", "line "),
        ("list_not_dict", "the top level is a list"),
        ("no_annotations", '"annotations" is missing'),
        ("no_images", '"images" is missing'),
    ],
)
def test_a_file_that_is_broken_as_a_whole_is_refused_in_one_line(name, said, shared, checkpoint, tmp_path):
    run = labelled(name, shared, checkpoint, tmp_path)
    assert run.exit_code == 1
    (line,) = run.text.splitlines()
    assert line.startswith("mal: error: ")
    assert f"{name}.json" in line
    assert said in line
    assert not (tmp_path / "masks.json").exists()


SIX = {101, 102, 103, 104, 105, 106}


@pytest.mark.parametrize(
    ("name", "masks", "said"),
    [
        ("no_categories", SIX, '"categories" is missing'),
        ("nan_literal", SIX - {103, 104}, "2 skipped"),
        ("utf8_bom", SIX, "6 labelled"),
        ("annotations_empty_list", set(), "nothing to do"),
    ],
)
def test_a_file_that_is_only_odd_is_labelled(name, masks, said, shared, checkpoint, tmp_path):
    run = labelled(name, shared, checkpoint, tmp_path)
    assert run.exit_code == 0
    assert said in run.text
    assert {record["id"] for record in run.output["annotations"] if record["area"] > 0} == masks
    assert run.output["images"]
    if name == "nan_literal":
        assert {entry["annotation_id"] for entry in run.report["records"] if entry["action"] == "skipped"} == {103, 104}


def test_boxes_in_which_nothing_is_found_are_flagged(shared, checkpoint, tmp_path):
    run = labelled("utf8_bom", shared, checkpoint, tmp_path, "--threshold", "1")
    assert run.exit_code == 0
    assert "6 labelled (6 doubtful)" in run.text
    for record in run.output["annotations"]:
        assert record["area"] == 0
        assert record["mal"] == {"status": "doubtful", "reason": "the mask is empty"}
