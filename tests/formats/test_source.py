"""One door to annotations in any format: what a conversion keeps, when it is made again, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image

from mal.coco.coco_file import read_coco
from mal.errors import UserError
from mal.formats.folders import ReadOptions, WriteOptions
from mal.formats.source import SourceRequest, has_split, open_source
from mal.tasks import convert
from tests.formats.small_coco import RING, annotation, coco_of, document, documents, written

CLASSES = "0 0.5 0.5 0.4 0.4\n"
EVERY_OUTPUT = ["yolo", "yolo-seg", "png", "labelme", "label-studio", "cvat"]


def in_format(folder: Path, name: str, content: dict) -> Path:
    """The document in another format, with its pictures in ``pictures/``."""
    coco = coco_of(folder, content)
    out = folder / {"label-studio": "tasks.json", "cvat": "masks.zip"}.get(name, name)
    written(coco, out, name, images=folder / "pictures")
    return out


def voc(folder: Path) -> Path:
    coco_of(folder, document())
    size = "<size><width>14</width><height>11</height></size>"
    box = "<bndbox><xmin>2</xmin><ymin>1</ymin><xmax>8</xmax><ymax>7</ymax></bndbox>"
    (folder / "xml").mkdir()
    (folder / "xml/a.xml").write_text(
        f"<annotation><filename>a.png</filename>{size}<object><name>nut</name>{box}</object></annotation>"
    )
    return folder / "xml"


def table(folder: Path) -> Path:
    coco_of(folder, document())
    (folder / "boxes.csv").write_text("image,class,xmin,ymin,xmax,ymax\na.png,nut,2,1,8,7\n")
    return folder / "boxes.csv"


def records(path: Path | str) -> list[dict]:
    return list(read_coco(Path(path)).annotations)


def converted(source: Path, images: Path, out: Path) -> bytes:
    """What `mal convert` makes of a source."""
    convert.run(
        source,
        out,
        source_format=None,
        target_format="coco",
        reading=ReadOptions(images=images),
        writing=WriteOptions(),
        overwrite=False,
        skip_broken=False,
        report=None,
    )
    return out.read_bytes()


@pytest.mark.parametrize("name", EVERY_OUTPUT)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=documents())
def test_a_source_becomes_what_mal_convert_makes_of_it(tmp_path_factory, name, content):
    folder = tmp_path_factory.mktemp("data")
    source, images = in_format(folder, name, content), folder / "pictures"
    opened = open_source(SourceRequest(str(source), str(images)), folder / "cache/boxes.json")
    assert Path(opened.annotations).read_bytes() == converted(source, images, folder / "by_hand.json")
    assert opened.images == str(images)


@pytest.mark.parametrize("make", [voc, table])
def test_a_source_of_boxes_becomes_what_mal_convert_makes_of_it(tmp_path, make):
    source, images = make(tmp_path), tmp_path / "pictures"
    opened = open_source(SourceRequest(str(source), str(images)), tmp_path / "cache/boxes.json")
    assert Path(opened.annotations).read_bytes() == converted(source, images, tmp_path / "by_hand.json")
    assert [record["bbox"] for record in records(opened.annotations)] == [[2, 1, 6, 6]]


def test_a_coco_file_is_used_as_it_is(tmp_path):
    coco_of(tmp_path, document(annotation(1, RING)))
    opened = open_source(SourceRequest(str(tmp_path / "in.json"), "anywhere"), tmp_path / "cache.json")
    assert (opened.annotations, opened.images, opened.lines) == (str(tmp_path / "in.json"), "anywhere", ())
    assert not (tmp_path / "cache.json").exists()


def test_the_url_of_a_coco_file_is_used_as_it_is(tmp_path):
    opened = open_source(SourceRequest("s3://bucket/a.json", "s3://bucket/images"), tmp_path / "cache.json")
    assert (opened.annotations, opened.images) == ("s3://bucket/a.json", "s3://bucket/images")


def test_a_folder_with_one_coco_file_is_that_file_with_the_pictures_beside_it(tmp_path):
    coco = coco_of(tmp_path, document(annotation(1, RING)))
    (tmp_path / "pictures/_annotations.coco.json").write_bytes(coco.path.read_bytes())
    opened = open_source(SourceRequest(str(tmp_path / "pictures")), tmp_path / "cache.json")
    assert opened.annotations == str(tmp_path / "pictures/_annotations.coco.json")
    assert opened.images == str(tmp_path / "pictures")


def yolo(folder: Path, splits: tuple[str, ...] = ("train", "val")) -> Path:
    """A data set with one picture and one box in each split."""
    for split in splits:
        coco_of(folder / "pictures", document())
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        (folder / f"images/{split}/{split}.png").write_bytes((folder / "pictures/pictures/a.png").read_bytes())
        (folder / f"labels/{split}/{split}.txt").write_text(CLASSES)
    lines = [f"{split}: images/{split}" for split in splits]
    (folder / "data.yaml").write_text("\n".join([*lines, "names: [nut, bolt]"]))
    return folder / "data.yaml"


def test_pictures_are_found_where_the_source_says(tmp_path):
    opened = open_source(SourceRequest(str(yolo(tmp_path / "set"))), tmp_path / "cache/boxes.json")
    assert opened.images == str(tmp_path / "set/images")
    assert len(records(opened.annotations)) == 2


def test_pictures_are_found_beside_a_source_that_does_not_say_where_they_are(tmp_path):
    source = voc(tmp_path)
    (tmp_path / "pictures").rename(tmp_path / "images")
    opened = open_source(SourceRequest(str(source)), tmp_path / "cache/boxes.json")
    assert opened.images == str(tmp_path / "images")


def test_a_source_without_pictures_says_so(tmp_path):
    source = voc(tmp_path)
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"xml: none of its pictures \(a\.png\) .*: say where they are with --images"):
        open_source(SourceRequest(str(source)), tmp_path / "cache/boxes.json")


@pytest.mark.parametrize(("split", "names"), [(None, {"train.png", "val.png"}), ("train", {"train.png"})])
def test_one_split_or_all_of_a_data_set_are_read(tmp_path, split, names):
    request = SourceRequest(str(yolo(tmp_path / "set")), split=split)
    opened = open_source(request, tmp_path / "cache/boxes.json")
    images = read_coco(Path(opened.annotations)).images
    assert {Path(image.file_name).name for image in map(images.at, range(len(images)))} == names


def test_a_data_set_tells_which_splits_it_has(tmp_path):
    source = str(yolo(tmp_path, ("train",)))
    assert has_split(source, "train")
    assert not has_split(source, "val")


def lines_of(source: Path, cache: Path, **more) -> list[str]:
    return list(open_source(SourceRequest(str(source), **more), cache).lines)


def test_a_conversion_is_used_again_and_tells_the_same(tmp_path):
    source, cache = yolo(tmp_path / "set"), tmp_path / "cache/boxes.json"
    first = lines_of(source, cache)
    state = cache.stat().st_mtime_ns, cache.stat().st_ino
    again = lines_of(source, cache)
    assert (cache.stat().st_mtime_ns, cache.stat().st_ino) == state
    assert "is used again" in again[0]
    assert first[1:] == again[1:]
    assert first[1] == "2 images, 2 boxes, 0 masks, 2 classes"


def edited_label(folder: Path) -> None:
    """Another box of the same length, with the same time of change."""
    file = folder / "labels/train/train.txt"
    state = file.stat()
    file.write_text(CLASSES.replace("0.4 0.4", "0.3 0.4"))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def new_label(folder: Path) -> None:
    (folder / "images/train/new.png").write_bytes((folder / "images/train/train.png").read_bytes())
    (folder / "labels/train/new.txt").write_text(CLASSES)


def removed_label(folder: Path) -> None:
    (folder / "labels/val/val.txt").unlink()


def other_names(folder: Path) -> None:
    (folder / "data.yaml").write_text((folder / "data.yaml").read_text().replace("nut", "net"))


def other_picture(folder: Path) -> None:
    Image.new("RGB", (40, 30)).save(folder / "images/val/val.png")


def cut_cache(folder: Path) -> None:
    cache = folder.parent / "cache/boxes.json"
    cache.write_bytes(cache.read_bytes()[:-4])


@pytest.mark.parametrize("change", [edited_label, new_label, removed_label, other_names, other_picture, cut_cache])
def test_a_conversion_is_made_again_when_anything_that_it_reads_has_changed(tmp_path, change):
    source, cache = yolo(tmp_path / "set"), tmp_path / "cache/boxes.json"
    lines_of(source, cache)
    change(tmp_path / "set")
    assert "is used again" not in lines_of(source, cache)[0]
    assert cache.read_bytes() == converted(source, tmp_path / "set/images", tmp_path / "by_hand.json")


def test_other_settings_make_another_conversion(tmp_path):
    source, cache = yolo(tmp_path / "set"), tmp_path / "cache/boxes.json"
    lines_of(source, cache)
    assert "is used again" not in lines_of(source, cache, split="val")[0]
    assert len(records(cache)) == 1


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", EVERY_OUTPUT)
def test_nothing_is_written_into_a_source(tmp_path, name):
    source = in_format(tmp_path / "data", name, document(annotation(1, RING)))
    before = files_in(tmp_path / "data")
    for folder in [tmp_path / "data", *filter(Path.is_dir, (tmp_path / "data").rglob("*"))]:
        folder.chmod(0o555)
    try:
        open_source(SourceRequest(str(source), str(tmp_path / "data/pictures")), tmp_path / "cache/boxes.json")
    finally:
        for folder in [tmp_path / "data", *filter(Path.is_dir, (tmp_path / "data").rglob("*"))]:
            folder.chmod(0o755)
    assert files_in(tmp_path / "data") == before


def test_a_pattern_reads_the_files_that_it_matches(tmp_path):
    folder = voc(tmp_path)
    (folder / "b.xml").write_text((folder / "a.xml").read_text().replace("a.png", "b.png"))
    Image.new("RGB", (14, 11)).save(tmp_path / "pictures/b.png")
    (folder / "other.xml").write_text("no annotation")
    opened = open_source(SourceRequest(f"{folder}/[ab].xml", str(tmp_path / "pictures")), tmp_path / "cache/boxes.json")
    assert len(records(opened.annotations)) == 2


def test_a_list_reads_the_files_that_it_names(tmp_path):
    folder = voc(tmp_path)
    (folder / "other.xml").write_text("no annotation")
    (tmp_path / "list.txt").write_text("xml/a.xml\n")
    opened = open_source(SourceRequest(f"{tmp_path}/list.txt", str(tmp_path / "pictures")), tmp_path / "cache/b.json")
    assert len(records(opened.annotations)) == 1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.xml", "<annotation><object>", r"a\.xml, line 1: not valid XML"),
        ("a.csv", "image,class\n", r"a\.csv, line 1"),
        ("a.csv", "image,xmin,ymin,xmax,ymax\na.png,0,0,1,1\n", r"--normalized reads them so; `mal convert` has these"),
        ("a.zip", "no archive", r"a\.zip is damaged or no zip archive"),
        ("data.yaml", "train: images\n", r"data\.yaml: a YOLO data set has its class names under the key names"),
        ("data.yaml", "train: photos\nnames: [a]\n", r"data\.yaml: no picture of 1 has labels"),
        ("tasks.json", json.dumps([{"data": {}}]), r"tasks\.json"),
        ("list.txt", "no.xml\n", r"no\.xml"),
        ("*.xml", None, r"\*\.xml: no file matches this pattern"),
    ],
)
def test_a_bad_source_names_the_file_and_the_reason_in_one_line(tmp_path, name, content, reason):
    Image.new("RGB", (14, 11)).save(tmp_path / "a.png")
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=reason) as caught:
        open_source(SourceRequest(str(tmp_path / name), str(tmp_path)), tmp_path / "cache/boxes.json")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache/boxes.json").exists()


def test_pictures_behind_a_url_go_with_coco_files_only(tmp_path):
    with pytest.raises(UserError, match="--images s3://b: only COCO files go with pictures behind a URL"):
        open_source(SourceRequest(str(table(tmp_path)), "s3://b"), tmp_path / "cache/boxes.json")
