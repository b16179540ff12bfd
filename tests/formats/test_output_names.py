"""Whatever names a file holds, a conversion writes into OUT alone, and each file of it for one record."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from mal.coco.coco_file import CocoFile, read_coco
from mal.errors import UserError
from mal.formats.folders import ReadOptions, WriteOptions
from mal.formats.formats import WRITERS
from mal.formats.output_names import OutputNames, RefusedName, relative_name
from mal.formats.tally import Tally
from mal.tasks import convert
from tests.cli.small_runs import run_mal
from tests.formats.small_coco import HEIGHT, RING, WIDTH, annotation, coco_of, document

OUTPUTS = {"coco": "out.json", "cvat": "out.zip", "label-studio": "out.json"}
WITH_PICTURES = [(name, how) for name in ("yolo", "labelme", "cvat") for how in ("copy", "link")]
FOLDERS = ("..", ".", "", "a", "img", "out", "images", "labels", "train", "instances", "indexed", "C:", "..\\..", "\\x")
FILES = (
    "b.png",
    "A.json",
    "labels.txt",
    "LABELS.TXT",
    "data.yaml",
    "dataset.yaml",
    "legend.json",
    "keep.txt",
    "~",
    "\0",
)
parts = st.sampled_from([*FOLDERS, *FILES])
plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.lists(parts | plain, min_size=1, max_size=5).map("/".join).filter(bool)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(path, "PNG")


def prepare(root: Path, file_names: list[str], categories: list[str]) -> list[str]:
    """A file whose images have these names, their pictures where that is possible, and files that nobody may touch."""
    for keep in (
        "keep.txt",
        "a.txt",
        "a.json",
        "img/keep.txt",
        "img/labels.txt",
        "img/legend.json",
        "labels/train/a.txt",
    ):
        (root / keep).parent.mkdir(parents=True, exist_ok=True)
        (root / keep).write_text("precious")
    file_names = [name.replace("ROOT", str(root)) for name in file_names]
    for name in file_names:
        path = Path(os.path.normpath(root / "img" / name.replace("\0", "")))
        try:
            if path.is_relative_to(root / "img") and not path.exists():
                picture(path)
        except OSError:
            pass  # a name that no file can have, or a folder of a name that a file has
    content = {
        "images": [{"id": n, "file_name": name, "width": WIDTH, "height": HEIGHT} for n, name in enumerate(file_names)],
        "annotations": [annotation(n, RING, n, category_id=n % len(categories), id=n) for n in range(len(file_names))],
        "categories": [{"id": n, "name": name} for n, name in enumerate(categories)],
    }
    (root / "in.json").write_text(json.dumps(content))
    return file_names


def coco_of_file(folder: Path, content: dict[str, Any]) -> CocoFile:
    """The document as a file, without pictures."""
    (folder / "in.json").write_text(json.dumps(content))
    return read_coco(folder / "in.json")


def everything_outside(root: Path) -> dict[str, str]:
    """A hash of each file and the kind of all else below a folder, but for the output."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not name.startswith("out"):
            content = path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
            found[name] = hashlib.sha256(repr((path.lstat().st_mode, content)).encode()).hexdigest()
    return found


def run(root: Path, format_name: str, pictures: str, *, skip_broken: bool, overwrite: bool = False) -> int:
    return convert.run(
        root / "in.json",
        root / OUTPUTS.get(format_name, "out"),
        source_format="coco",
        target_format=format_name,
        reading=ReadOptions(images=root / "img" if pictures != "no" else None),
        writing=WriteOptions(pictures=pictures),
        overwrite=overwrite,
        skip_broken=skip_broken,
        report=None,
    )


@pytest.mark.parametrize(("format_name", "pictures"), [*((name, "no") for name in WRITERS), *WITH_PICTURES])
@settings(max_examples=8)
@given(st.lists(names, min_size=1, max_size=3), st.lists(names, min_size=1, max_size=2, unique=True))
@example(["ROOT/a.png", "ROOT/img/a.png"], ["x"])
@example(["labels.txt", "Labels.TXT"], ["x"])
@example(["../../../a.png", "a/../../../b.png"], ["../../x"])
@example(["a.json/b.png", "a.png", "a.PNG"], ["x"])
@example(["images/a.png", "labels/a.txt"], ["/etc/x"])
def test_nothing_outside_of_the_output_is_touched(format_name, pictures, file_names, categories):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        root = Path(folder, "root")
        prepare(root, file_names, categories)
        patch.chdir(root)
        before = everything_outside(root)
        try:
            run(root, format_name, pictures, skip_broken=False)
        except UserError:
            assert not [path for path in root.iterdir() if path.name.startswith(("out", ".out"))]
        assert everything_outside(root) == before
        run(root, format_name, pictures, skip_broken=True, overwrite=True)
        assert everything_outside(root) == before
        assert {path.name for path in Path(folder).iterdir()} == {"root"}


@given(names)
def test_a_name_is_one_below_the_folder_or_refused(name):
    try:
        found = relative_name(name, None)
    except RefusedName:
        return
    assert not found.is_absolute()
    assert ".." not in found.parts
    assert os.path.normpath(Path("/out", found)).startswith("/out/")


@pytest.mark.parametrize("name", ["/a.png", "//a.png", "C:\\a.png", "c:a.png", "\\a.png", "\\\\host\\share\\a.png"])
def test_absolute_names_are_refused_in_the_spelling_of_any_system(name):
    with pytest.raises(RefusedName, match="absolute"):
        relative_name(name, None)


@pytest.mark.parametrize("name", ["../a.png", "a/../../b.png", "..", "..\\a.png", "a\\..\\..\\b.png"])
def test_names_that_lead_out_are_refused(name):
    with pytest.raises(RefusedName, match="leads out"):
        relative_name(name, None)


def test_an_absolute_name_inside_the_folder_of_the_pictures_is_taken_from_there(tmp_path):
    assert relative_name(str(tmp_path / "deep/../a.png"), tmp_path) == PurePosixPath("a.png")


@pytest.mark.parametrize("name", ["legend.json", "Legend.JSON", "legend.json/a.png"])
def test_files_of_the_writer_itself_are_not_given_away(tmp_path, name):
    with pytest.raises(RefusedName, match="needs for itself"):
        OutputNames(tmp_path, ["legend.json"]).take(PurePosixPath(name), "a")


@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_a_file_is_given_to_one_record(tmp_path, first, second):
    names = OutputNames(tmp_path)
    names.take(PurePosixPath(first), "one")
    with pytest.raises(RefusedName, match=r"one and two would share the file"):
        names.take(PurePosixPath(second), "two")


def test_a_name_longer_than_file_systems_take_is_left_out_by_name(tmp_path):
    content = document(annotation(6, RING))
    content["images"][1]["file_name"] = "x" * 252 + ".png"
    coco = coco_of_file(tmp_path, content)
    tally = Tally(skip_broken=True)
    WRITERS["yolo-seg"](coco, tmp_path / "out", WriteOptions(), tally)
    assert tally.images == 1
    assert any("longer name" in reason for reason in tally.left_out)


def test_a_refused_image_is_left_out_with_its_annotations_and_named(tmp_path, capfd):
    content = document(annotation(5, RING), annotation(6, RING, 4))
    content["images"][1]["file_name"] = str(tmp_path / "a.png")
    source = coco_of_file(tmp_path, content).path
    outcome = run_mal(capfd, "convert", source, tmp_path / "out", "--to", "yolo-seg")
    assert outcome.exit_code == 1
    (line,) = outcome.error_lines
    assert f'image "{tmp_path}/a.png": the file name of its image is absolute' in line
    assert not (tmp_path / "out").exists()
    outcome = run_mal(capfd, "convert", source, tmp_path / "out", "--to", "yolo-seg", "--skip-broken")
    assert outcome.exit_code == 1
    assert "1 image, 0 boxes, 1 mask" in outcome.out
    assert "annotation 6" in outcome.out
    assert not (tmp_path / "a.txt").exists()


def test_overwriting_does_not_write_through_a_link(tmp_path, capfd):
    source = coco_of(tmp_path, document(annotation(5, RING))).path
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "labels").symlink_to(tmp_path / "elsewhere")
    outcome = run_mal(capfd, "convert", source, tmp_path / "out", "--to", "yolo-seg", "--overwrite")
    assert outcome.exit_code == 1
    assert "labels is a link, not a folder" in outcome.err
    assert not list((tmp_path / "elsewhere").iterdir())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labels"]


def test_a_picture_is_not_replaced_by_a_link_to_itself(tmp_path, capfd):
    source = coco_of(tmp_path, document(annotation(5, RING))).path
    before = (tmp_path / "pictures/a.png").read_bytes()
    pictures = ["--images", tmp_path / "pictures", "--pictures", "link", "--overwrite"]
    outcome = run_mal(capfd, "convert", source, tmp_path / "pictures", "--to", "labelme", *pictures)
    assert outcome.exit_code == 1
    assert "the picture that it would be a link to" in outcome.err
    assert (tmp_path / "pictures/a.png").read_bytes() == before


def test_a_missing_picture_is_left_out_by_name(tmp_path, capfd):
    for name in ("yolo", "cvat", "labelme"):
        source = coco_of(tmp_path / name, document(annotation(5, RING, 4), annotation(6, RING))).path
        (tmp_path / name / "pictures/a.png").unlink()
        pictures = ["--images", tmp_path / name / "pictures", "--pictures", "copy", "--to", name]
        outcome = run_mal(capfd, "convert", source, tmp_path / name / "out", *pictures)
        assert "its picture" in outcome.err
        assert not (tmp_path / name / "out").exists()
        outcome = run_mal(capfd, "convert", source, tmp_path / name / "out", *pictures, "--skip-broken")
        assert (outcome.exit_code, outcome.err) == (1, "")
        assert "1 image, " in outcome.out
        assert "annotation 6" in outcome.out
