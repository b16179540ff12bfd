"""Commands take annotations in any format that `mal convert` reads, as it would convert them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from mal.sample.generate import make_sample
from tests.cli.small_runs import MODEL, run_mal
from tests.export.exported import small_checkpoint
from tests.formats.small_coco import document

FORMATS = ("yolo", "yolo-seg", "voc", "csv", "png", "labelme", "label-studio", "cvat")
PLACES = {"csv": "boxes.csv", "label-studio": "tasks.json", "cvat": "masks.zip"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    """Two generated pictures in ``images/val``, with their boxes and masks in ``annotations/instances_val.json``."""
    folder = tmp_path_factory.mktemp("scene")
    make_sample(folder, num_train_images=1, num_val_images=2, image_size=(160, 120))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("network") / "net.pth")


def boxes_of(scene: Path) -> list[tuple[str, str, list[float], dict]]:
    """File name, class, box and image record of each annotation."""
    content = json.loads((scene / "annotations/instances_val.json").read_text())
    images = {image["id"]: image for image in content["images"]}
    names = {category["id"]: category["name"] for category in content["categories"]}
    return [
        (images[each["image_id"]]["file_name"], names[each["category_id"]], each["bbox"], images[each["image_id"]])
        for each in content["annotations"]
    ]


def write_voc(scene: Path, folder: Path) -> None:
    objects: dict[str, list[str]] = {}
    for name, category, (x, y, width, height), image in boxes_of(scene):
        size = f"<size><width>{image['width']}</width><height>{image['height']}</height></size>"
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (x, y, x + width, y + height), strict=True)
        box = "".join(f"<{key}>{value}</{key}>" for key, value in corners)
        head = f"<annotation><filename>{name}</filename>{size}"
        objects.setdefault(name, [head]).append(f"<object><name>{category}</name><bndbox>{box}</bndbox></object>")
    folder.mkdir()
    for name, parts in objects.items():
        (folder / f"{Path(name).stem}.xml").write_text("".join([*parts, "</annotation>"]))


def write_table(scene: Path, file: Path) -> None:
    lines = [
        f"{name},{category},{x},{y},{x + width},{y + height}"
        for name, category, (x, y, width, height), _ in boxes_of(scene)
    ]
    file.write_text("\n".join(["image,class,xmin,ymin,xmax,ymax", *lines]))


def source_in(folder: Path, name: str, scene: Path, capfd) -> Path:
    """The scene in another format."""
    place = folder / PLACES.get(name, name)
    if name == "voc":
        write_voc(scene, place)
    elif name == "csv":
        write_table(scene, place)
    else:
        truth, images = scene / "annotations/instances_val.json", scene / "images/val"
        split = ["--split", "train", "--pictures", "link"] if name.startswith("yolo") else []
        assert run_mal(capfd, "convert", truth, place, "--to", name, "--images", images, *split).exit_code == 0
    return place


def label(capfd, checkpoint: Path, out: Path, *options: str | Path):
    return run_mal(capfd, "label", *options, "--checkpoint", checkpoint, "--out", out, "--workers", "0")


@pytest.mark.parametrize("name", FORMATS)
def test_labelling_a_source_gives_the_masks_of_its_conversion(tmp_path, capfd, scene, checkpoint, name):
    source = source_in(tmp_path, name, scene, capfd)
    images = source / "images" if name.startswith("yolo") else scene / "images/val"
    boxes = tmp_path / "boxes.json"
    assert run_mal(capfd, "convert", source, boxes, "--images", images).exit_code == 0
    assert label(capfd, checkpoint, tmp_path / "of_coco.json", "--ann", boxes, "--images", images).exit_code == 0
    outcome = label(capfd, checkpoint, tmp_path / "masks.json", "--data", source, "--images", images)
    assert outcome.exit_code == 0, outcome
    assert (tmp_path / "masks.json").read_bytes() == (tmp_path / "of_coco.json").read_bytes()
    assert f"({name.removesuffix('-seg')}) -> " in outcome.out
    assert ("writes the masks in the format that came in" in outcome.out) == (name not in ("voc", "csv"))


def test_a_data_set_that_names_its_pictures_is_labelled_without_a_word_on_them(tmp_path, capfd, scene, checkpoint):
    source = source_in(tmp_path, "yolo", scene, capfd)
    outcome = label(capfd, checkpoint, tmp_path / "masks.json", "--data", source / "data.yaml")
    assert outcome.exit_code == 0
    assert "2 images" in outcome.out
    assert all(each["segmentation"] for each in json.loads((tmp_path / "masks.json").read_text())["annotations"])


def test_a_run_goes_on_from_the_same_conversion(tmp_path, capfd, scene, checkpoint):
    source = source_in(tmp_path, "yolo", scene, capfd)
    label(capfd, checkpoint, tmp_path / "masks.json", "--data", source)
    outcome = label(capfd, checkpoint, tmp_path / "masks.json", "--data", source)
    assert "is used again" in outcome.out
    assert "is complete" in outcome.out


def test_the_label_file_may_not_become_a_part_of_the_source(tmp_path, capfd, scene, checkpoint):
    source = source_in(tmp_path, "yolo", scene, capfd)
    outcome = label(capfd, checkpoint, source / "masks.json", "--data", source)
    assert (outcome.exit_code, len(outcome.error_lines)) == (1, 1)
    assert "into which nothing is written: give the label file another place" in outcome.err


def test_a_coco_file_still_needs_its_pictures(tmp_path, capfd, scene, checkpoint):
    outcome = label(capfd, checkpoint, tmp_path / "masks.json", "--data", scene / "annotations/instances_val.json")
    assert outcome.exit_code == 2
    assert "a COCO file also needs --images" in outcome.err


def test_two_formats_at_once_are_told_apart_by_a_word(tmp_path, capfd, scene, checkpoint):
    source = source_in(tmp_path, "yolo", scene, capfd)
    write_voc(scene, source / "Annotations")
    outcome = label(capfd, checkpoint, tmp_path / "masks.json", "--data", source)
    assert "cannot tell its format, it looks like voc and yolo: say it with --from" in outcome.err
    assert label(capfd, checkpoint, tmp_path / "masks.json", "--data", source, "--from", "yolo").exit_code == 0


@pytest.mark.parametrize("name", ["yolo", "voc", "label-studio"])
def test_check_reads_a_source_in_any_format(tmp_path, capfd, scene, name):
    source = source_in(tmp_path, name, scene, capfd)
    images = [] if name.startswith("yolo") else ["--images", scene / "images/val"]
    outcome = run_mal(capfd, "check", "--data", source, *images)
    assert outcome.exit_code == 0, outcome
    assert f"{len(boxes_of(scene))} labelled" in outcome.out


def test_a_folder_with_one_coco_file_is_that_file(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").mkdir()
    Image.new("RGB", (14, 11)).save(tmp_path / "train/a.png")
    one = document()
    one["images"] = one["images"][:1]
    (tmp_path / "train/_annotations.coco.json").write_text(json.dumps(one))
    assert run_mal(capfd, "check", "train").exit_code == 0


def test_a_list_of_results_is_told_as_before(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "boxes.json").write_text(json.dumps([{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]))
    outcome = run_mal(capfd, "check", "boxes.json", "photos")
    assert outcome.exit_code == 1
    assert "boxes.json: the top level is a list, but a COCO file is" in outcome.err


def test_a_report_shows_masks_of_another_format_and_writes_nothing_beside_them(tmp_path, capfd, scene):
    source = source_in(tmp_path, "yolo-seg", scene, capfd)
    outcome = run_mal(capfd, "report", "--data", source / "data.yaml")
    assert "nothing is written into a data set: say with --out where the page goes" in outcome.err
    assert run_mal(capfd, "report", "--data", source / "data.yaml", "--out", tmp_path / "page.html").exit_code == 0
    assert (tmp_path / "page.html").stat().st_size > 10_000


@pytest.fixture
def split_set(tmp_path, capfd) -> Path:
    """A YOLO data set with masks, with a split to train on and one to validate on."""
    folder = tmp_path / "sample"
    make_sample(folder, num_train_images=2, num_val_images=1, image_size=(300, 240))
    for split in ("train", "val"):
        files = ["--to", "yolo-seg", "--images", folder / "images/val", "--split", split, "--pictures", "copy"]
        truth = folder / "annotations/instances_val.json"
        assert run_mal(capfd, "convert", truth, tmp_path / "set", *files).exit_code == 0
    return tmp_path / "set/data.yaml"


def spec_of(folder: Path, source: Path | None, **inference) -> Path:
    data = {"train_ann_path": str(source), "val_ann_path": str(source)} if source else {}
    content = {
        "results_dir": str(folder / "results"),
        "model": dict(MODEL),
        "dataset": {"crop_size": 64, "num_workers_per_gpu": 0, "min_obj_size": 0, **data},
        "train": {"num_epochs": 1, "batch_size": 4, "crf_num_iter": 2, "use_amp": False},
        "evaluate": {"checkpoint": str(folder / "results/train/mal_model_latest.pth")},
        "inference": {"checkpoint": str(folder / "results/train/mal_model_latest.pth"), **inference},
        "wandb": {"enable": False},
    }
    (folder / "spec.yaml").write_text(yaml.safe_dump(content))
    return folder / "spec.yaml"


@pytest.mark.slow
def test_a_spec_names_a_data_set_for_every_task(tmp_path, capfd, split_set):
    spec = spec_of(tmp_path, split_set, ann_path=str(split_set), label_dump_path="masks.json")
    assert run_mal(capfd, "train", "-e", spec, "--dry-run").exit_code == 0
    assert not (tmp_path / "results").exists()
    for task in ("train", "evaluate", "inference"):
        outcome = run_mal(capfd, task, "-e", spec)
        assert outcome.exit_code == 0, outcome
    assert run_mal(capfd, "report", tmp_path / "results/evaluate").exit_code == 0
    assert run_mal(capfd, "check", "-e", spec).exit_code == 0
    found = sorted(path.relative_to(tmp_path / "results") for path in (tmp_path / "results").rglob("*.source.json"))
    names = ["evaluate/sources/validation", "inference/sources/labelling", "train/sources/training"]
    assert [str(path) for path in found] == [f"{name}.source.json" for name in [*names, "train/sources/validation"]]


@pytest.mark.slow
def test_the_data_of_a_spec_may_be_given_on_the_command_line(tmp_path, capfd, split_set):
    spec = spec_of(tmp_path, None)
    assert run_mal(capfd, "train", "-e", spec, "--data", split_set).exit_code == 0
    assert run_mal(capfd, "evaluate", "-e", spec, "--data", split_set).exit_code == 0
    assert run_mal(capfd, "inference", "-e", spec, "--data", split_set).exit_code == 0


def test_a_split_that_is_not_there_is_named(tmp_path, capfd, scene, checkpoint):
    source = source_in(tmp_path, "yolo", scene, capfd)
    text = (source / "data.yaml").read_text()
    (source / "data.yaml").write_text("\n".join(line for line in text.splitlines() if not line.startswith("val")))
    spec = spec_of(tmp_path, source / "data.yaml")
    outcome = run_mal(capfd, "evaluate", "-e", spec, f"evaluate.checkpoint={checkpoint}")
    assert "no split val; it has train" in outcome.err


def test_a_format_that_is_not_clear_is_told_with_the_field_that_says_it(tmp_path, capfd, scene, checkpoint):
    source = source_in(tmp_path, "yolo", scene, capfd)
    write_voc(scene, source / "Annotations")
    spec = spec_of(tmp_path, source)
    outcome = run_mal(capfd, "evaluate", "-e", spec, f"evaluate.checkpoint={checkpoint}")
    assert "say it with dataset.val_ann_format" in outcome.err
