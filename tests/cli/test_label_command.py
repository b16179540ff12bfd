from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mal.cli import main
from mal.config.catalog import spec_fields
from mal.config.precedence import field_value
from mal.config.schema import ExperimentSpec
from mal.tasks.photo import Photo


@dataclass(frozen=True)
class Asked:
    """What the labelling task was asked to do."""

    spec: ExperimentSpec
    out: Path | None
    photos: tuple[Photo, ...]
    device: str
    overwrite: bool
    restart: bool


@pytest.fixture
def asked(monkeypatch) -> list[Asked]:
    calls: list[Asked] = []
    task = SimpleNamespace(run=lambda spec, **options: calls.append(Asked(spec, **options)) or 0)
    monkeypatch.setitem(sys.modules, "mal.tasks.label", task)
    monkeypatch.setattr("mal.tasks.label", task, raising=False)
    return calls


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("boxes.json", "m.pth", "cat.jpg", "dog.jpg", "photos/cat.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def label(line: str) -> int:
    return main(["label", *line.split()])


def given(spec: ExperimentSpec) -> dict[str, Any]:
    """What a spec does not leave to the checkpoint or to the defaults, by dotted key."""
    entries = [entry for entry in spec_fields() if entry.section.count(".") == 0]
    return {
        entry.key: field_value(spec, entry.key)
        for entry in entries
        if entry.name in (getattr(spec, entry.section) if entry.section else spec).model_fields_set
        and entry.name not in ("num_gpus", "gpu_ids")
    }


def test_a_coco_file_is_labelled_as_the_checkpoint_says(asked, folder):
    assert label("--ann boxes.json --images photos --checkpoint m.pth --out masks.json") == 0
    (call,) = asked
    assert given(call.spec) == {
        "inference.checkpoint": "m.pth",
        "inference.ann_path": "boxes.json",
        "inference.img_dir": "photos",
    }
    assert call == Asked(call.spec, Path("masks.json"), (), "auto", overwrite=False, restart=False)


def test_a_pattern_or_a_list_stands_for_photos_with_the_same_boxes(asked, folder):
    (folder / "list.txt").write_text("dog.jpg\ncat.jpg\n")
    assert label("--image *.jpg --box 1,2,3,4 --checkpoint m.pth") == 0
    assert label("--image list.txt --box 1,2,3,4 --checkpoint m.pth") == 0
    found = [[photo.path.name for photo in call.photos] for call in asked]
    assert found == [["cat.jpg", "dog.jpg"], ["dog.jpg", "cat.jpg"]]
    assert all(photo.boxes == ((1, 2, 3, 4),) for call in asked for photo in call.photos)


def test_a_pattern_without_photos_is_told(folder, capsys):
    assert label("--image no*.jpg --box 1,2,3,4 --checkpoint m.pth") == 1
    assert "no*.jpg: no file matches this pattern" in capsys.readouterr().err


def test_one_overlay_is_not_for_several_photos(folder, capsys):
    assert label("--image *.jpg --box 1,2,3,4 --overlay o.png --checkpoint m.pth") == 2
    assert "--overlay is the picture of one photo" in capsys.readouterr().err


def test_one_photo_is_labelled_and_shown(asked, folder):
    line = "--image cat.jpg --box 1,2,30,40 --box=-3,0.5,7,8 --checkpoint m.pth --network mixed --flip --device cuda:1"
    line += " --profile fast --min-part 0.1 --fill-holes 0.2 --allow-outside 0.05 --no-overlap --crop-size 256"
    assert label(f"{line} --threshold 0.4 --batch-size 2 --workers 0") == 0
    (call,) = asked
    assert call.photos == (Photo(Path("cat.jpg"), ((1, 2, 30, 40), (-3, 0.5, 7, 8)), Path("cat_masks.png")),)
    assert (call.device, call.out) == ("cuda:1", None)
    assert given(call.spec) == {
        "dataset.crop_size": 256,
        "dataset.num_workers_per_gpu": 0,
        "train.mask_thres": [0.4],
        "inference.checkpoint": "m.pth",
        "inference.batch_size": 2,
        "inference.use_mixed_model_test": True,
        "inference.use_teacher_test": False,
        "inference.use_flip_test": True,
        "inference.profile": "fast",
        "masks.min_part": 0.1,
        "masks.fill_holes": 0.2,
        "masks.allow_outside": 0.05,
        "masks.no_overlap": True,
    }


FLAGGED = [entry for entry in spec_fields() if entry.flag and "path" not in entry.type_text]
NEW_VALUES = {"boolean": True, "number": 0.5, "integer": 64, "array": [0.5, 0.5]}


@pytest.mark.parametrize("entry", FLAGGED, ids=lambda entry: entry.key)
def test_every_field_that_declares_a_flag_is_set_by_it(entry, asked, folder):
    choices = entry.rule.get("enum") or [entry.rule.get("const")]
    value = choices[-1] or NEW_VALUES[entry.rule["type"]]
    if entry.key == "train.mask_thres":
        value = [0.2, 0.3, 0.4]
    text = "" if value is True else ",".join(map(str, value)) if isinstance(value, list) else str(value)
    assert label(f"{FILE} {entry.flag} {text}") == 0
    assert given(asked[0].spec)[entry.key] == value


@pytest.mark.parametrize(("flag", "key"), [("--no-flip", "inference.use_flip_test"), ("--overlap", "masks.no_overlap")])
def test_what_a_checkpoint_turns_on_may_be_turned_off(flag, key, asked, folder):
    assert label(f"{FILE} {flag}") == 0
    assert given(asked[0].spec)[key] is False


def test_each_box_and_overlay_belongs_to_the_photo_before_it(asked, folder):
    line = (
        "--image cat.jpg --box 1,2,3,4 --box 5,6,7,8 --overlay c.png --image dog.jpg --box 9,9,9,9 --checkpoint m.pth"
    )
    assert label(line) == 0
    assert asked[0].photos == (
        Photo(Path("cat.jpg"), ((1, 2, 3, 4), (5, 6, 7, 8)), Path("c.png")),
        Photo(Path("dog.jpg"), ((9, 9, 9, 9),), Path("dog_masks.png")),
    )


def test_with_a_single_photo_the_order_does_not_matter(asked, folder):
    assert label("--box 1,2,3,4 --overlay c.png --image cat.jpg --checkpoint m.pth") == 0
    assert asked[0].photos == (Photo(Path("cat.jpg"), ((1, 2, 3, 4),), Path("c.png")),)


PHOTO = "--checkpoint m.pth --image cat.jpg --box 1,2,3,4"
FILE = "--ann boxes.json --images photos --checkpoint m.pth --out masks.json"


def test_the_threshold_may_be_the_one_that_fits_the_box(asked, folder):
    assert label(f"{FILE} --threshold box_fit") == 0
    assert given(asked[0].spec)["train.mask_thres"] == "box_fit"


def test_masks_may_be_refined_and_cut_to_their_box(asked, folder):
    assert label(f"{FILE} --crf --within-box") == 0
    spec = asked[0].spec
    assert (spec.inference.use_crf_test, spec.masks.within_box) == (True, True)


def test_masks_may_be_refined_by_graph_cut(asked, folder):
    assert label(f"{FILE} --refine graph_cut") == 0
    assert asked[0].spec.inference.refinement == "graph_cut"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{FILE} --crf --refine graph_cut", "--refine graph_cut contradicts use_crf_test (--crf)"),
        (
            f"{FILE} --compat tao --refine auto",
            "error: --compat tao contradicts --refine auto, which the public programs",
        ),
        ("--ann boxes.json", "a COCO file also needs --images and --out"),
        ("--checkpoint m.pth", "nothing to label"),
        (f"{FILE} --within-box --allow-outside 0.1", "--within-box contradicts --allow-outside"),
        ("--checkpoint m.pth --ann boxes.json", "a COCO file also needs --images and --out"),
        ("--checkpoint m.pth --ann a --images b --out c --box 1,2,3,4", "--box and --overlay go with --image"),
        ("--checkpoint m.pth --image cat.jpg", "--image needs at least one --box"),
        ("--checkpoint m.pth --image cat.jpg --box 1,2,3,4 --ann a", "--image goes without --ann"),
        (
            "--checkpoint m.pth --box 1,2,3,4 --image cat.jpg --image dog.jpg --box 1,2,3,4",
            "--box comes after the --image",
        ),
        ("--checkpoint m.pth --image cat.jpg --image dog.jpg --box 1,2,3,4", "--box x,y,w,h: cat.jpg has none"),
        (f"{PHOTO} --image cat.jpg --box 5,6,7,8", "--image cat.jpg is given 2 times"),
        (f"{PHOTO} --overlay a.png --overlay b.png", "--overlay is given twice for cat.jpg"),
        (f"{PHOTO} --image photos/cat.jpg --box 5,6,7,8", "2 photos have the overlay cat_masks.png"),
        (f"{PHOTO} --overlay photos", "'photos' is a folder; give the name of the file to write"),
        ("--ann boxes.json --images photos --checkpoint m.pth --out masks/", "'masks/' is a folder; give the name"),
        ("--ann boxes.json --images photos --checkpoint m.pth --out photos", "'photos' is a folder; give the name"),
        ("--checkpoint m.pth --image cat.jpg --box 1,2,3", "write four numbers"),
        ("--checkpoint m.pth --image cat.jpg --box 1,2,a,4", "write four numbers"),
        ("--checkpoint m.pth --image cat.jpg --box 1,2,0,4", "must be above 0"),
        ("--checkpoint m.pth --image cat.jpg --box 1,2,nan,4", "must be above 0"),
        ("--checkpoint m.pth --threshold 1.5", "not between 0 and 1"),
        ("--checkpoint m.pth --threshold x", "'x' is not a number"),
        ("--checkpoint m.pth --min-part 2", "not between 0 and 1"),
        ("--checkpoint m.pth --min-score 2", "not between 0 and 1"),
        ("--checkpoint m.pth --min-score 0.5 --no-score", "--min-score needs scores"),
        ("--checkpoint m.pth --batch-size 0", "0 is too small; must be at least 1"),
        ("--checkpoint m.pth --workers x", "'x' is not a whole number"),
        ("--checkpoint m.pth --device gpu", "'gpu' is not a device"),
        ("--checkpoint m.pth --network both", "invalid choice"),
        ("--checkpoint m.pth --profile quick", "invalid choice"),
    ],
)
def test_options_that_do_not_fit_are_wrong_usage(line, message, asked, folder, capsys):
    assert label(line) == 2
    assert message in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--ann no.json --images photos --out o --checkpoint m.pth", "--ann no.json: no such file"),
        (
            "--ann photos --images photos --out o --checkpoint m.pth",
            "photos: cannot tell its format, it looks like none that is known: say it with --from",
        ),
        ("--ann boxes.json --images no --out o --checkpoint m.pth", "--images no: no such folder"),
        ("--ann boxes.json --images m.pth --out o --checkpoint m.pth", "--images m.pth: is a file; must be a folder"),
        ("--image no.jpg --box 1,2,3,4 --checkpoint m.pth", "--image no.jpg: no such file"),
        ("--image cat.jpg --box 1,2,3,4 --checkpoint no.pth", "--checkpoint no.pth: no such file"),
    ],
)
def test_paths_that_are_not_there_are_named_before_the_task_is_imported(line, message, asked, folder, capsys):
    assert label(line) == 1
    assert capsys.readouterr().err == f"mal: error: {message}\n"
    assert asked == []
