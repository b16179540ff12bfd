"""One command from boxes in any format to masks in the same format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pycocotools.coco import COCO

import mal
from mal.auto.choose import Choice
from mal.errors import StoppedBySignal, UserError
from mal.formats.yolo_in import yolo_splits
from mal.sample.generate import make_sample
from tests.cli.small_runs import run_mal
from tests.cli.test_other_formats import source_in, write_voc
from tests.export.exported import small_checkpoint
from tests.formats.small_coco import read_back


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    """Pictures in ``images/val``, with their boxes and masks in ``annotations/instances_val.json``."""
    folder = tmp_path_factory.mktemp("scene")
    make_sample(folder, num_train_images=1, num_val_images=3, image_size=(160, 120))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = small_checkpoint(tmp_path_factory.mktemp("network") / "net.pth")
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"]["train"]["mask_thres"] = [0.001]  # so that no mask is empty
    torch.save(content, path)
    return path


def annotations(file: Path) -> list[dict]:
    return json.loads(file.read_text())["annotations"]


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def auto(capfd, checkpoint: Path, *options: str | Path):
    return run_mal(capfd, "auto", *options, "--checkpoint", checkpoint)


def test_a_yolo_data_set_becomes_one_with_masks_and_keeps_its_splits(tmp_path, capfd, scene, checkpoint):
    source = source_in(tmp_path, "yolo", scene, capfd)
    (source / "images/val").mkdir()
    (source / "labels/val").mkdir()
    picture = sorted((source / "images/train").iterdir())[0]
    label = source / "labels/train" / f"{picture.stem}.txt"
    picture.rename(source / "images/val" / picture.name)
    label.rename(source / "labels/val" / label.name)
    (source / "images/test").mkdir()  # without labels, as for a competition
    (source / "images/test/new.jpg").write_bytes((source / "images/val" / picture.name).read_bytes())
    text = (source / "data.yaml").read_text().replace("val: images/train", "val: images/val")
    (source / "data.yaml").write_text(text + "test: images/test\n")
    before = files_in(source)
    outcome = auto(capfd, checkpoint, source / "data.yaml", "--minutes", "0")
    assert outcome.exit_code == 0, outcome
    out = tmp_path / "yolo_masks"
    assert files_in(source) == before
    assert all(each["segmentation"] for each in annotations(out / "masks.json"))
    assert [path.name for path in out.rglob("masks.json")] == ["masks.json"]
    assert yolo_splits(out / "yolo-seg") == ["train", "val", "test"]
    assert [path.name for path in (out / "yolo-seg/images/test").iterdir()] == ["new.jpg"]
    assert [path.name for path in (out / "yolo-seg/images/val").iterdir()] == [picture.name]
    assert len(read_back(out / "yolo-seg")["annotations"]) == len(annotations(out / "masks.json"))
    theirs = COCO(out / "masks.json")
    assert all(theirs.annToMask(each).sum() == each["area"] > 0 for each in theirs.anns.values())
    assert (out / "report.html").is_file()
    assert (out / "review_queue.csv").is_file()
    last = outcome.out.splitlines()[-3:]
    assert [line.split(":")[0] for line in last] == ["masks", "look first at", "next"]


@pytest.mark.parametrize("name", ["labelme", "cvat"])
def test_masks_come_back_in_the_format_that_came_in(tmp_path, capfd, scene, checkpoint, name):
    source = source_in(tmp_path, name, scene, capfd)
    options = ["--images", scene / "images/val", "--out", tmp_path / "out", "--minutes", "0"]
    assert auto(capfd, checkpoint, source, *options).exit_code == 0
    place = {"label-studio": "tasks.json", "cvat": "cvat.zip"}.get(name, name)
    assert len(read_back(tmp_path / "out" / place)["annotations"]) == len(annotations(tmp_path / "out/masks.json"))


def test_masks_that_are_there_are_kept_and_told(tmp_path, capfd, scene, checkpoint):
    truth = scene / "annotations/instances_val.json"
    options = ["--images", scene / "images/val", "--out", tmp_path / "out", "--minutes", "0"]
    outcome = auto(capfd, checkpoint, truth, *options)
    assert "of them have masks already, which are kept" in outcome.out
    before, after = annotations(truth), annotations(tmp_path / "out/masks.json")
    assert [each["segmentation"] for each in before] == [each["segmentation"] for each in after]


def test_a_format_without_a_place_for_masks_gives_coco_and_says_so(tmp_path, capfd, scene, checkpoint):
    write_voc(scene, tmp_path / "voc")
    options = [tmp_path / "voc", "--images", scene / "images/val", "--minutes", "0"]
    outcome = auto(capfd, checkpoint, *options)
    assert outcome.exit_code == 0
    assert "voc has no place for masks" in outcome.out
    assert (tmp_path / "voc_masks/masks.json").is_file()


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(tmp_path, capfd, scene, checkpoint):
    source = source_in(tmp_path, "yolo", scene, capfd)
    before = files_in(tmp_path)
    outcome = auto(capfd, checkpoint, source, "--dry-run")
    assert outcome.exit_code == 0
    assert "is in the format yolo" in outcome.out
    assert "boxes will take about" in outcome.out
    assert files_in(tmp_path) == before


def test_the_same_command_goes_on_and_another_is_refused(tmp_path, capfd, scene, checkpoint):
    source = source_in(tmp_path, "yolo", scene, capfd)
    assert auto(capfd, checkpoint, source, "--minutes", "0").exit_code == 0
    before = (tmp_path / "yolo_masks/masks.json").read_bytes()
    again = auto(capfd, checkpoint, source, "--minutes", "0")
    assert "nothing is left to label" in again.out
    assert (tmp_path / "yolo_masks/masks.json").read_bytes() == before
    other = auto(capfd, checkpoint, source, "--minutes", "7")
    assert other.exit_code == 1
    assert "holds another run of `mal auto`, with other values of --minutes: give another" in other.err


@pytest.fixture
def boxes(tmp_path, scene) -> Path:
    """A COCO file of boxes with its pictures beside it."""
    (tmp_path / "set").mkdir()
    content = json.loads((scene / "annotations/boxes_val.json").read_text())
    (tmp_path / "set/images").symlink_to(scene / "images/val")
    (tmp_path / "set/boxes.json").write_text(json.dumps(content))
    return tmp_path / "set/boxes.json"


def changed(boxes: Path, **parts) -> None:
    boxes.write_text(json.dumps(json.loads(boxes.read_text()) | parts))


def line_of(capfd, checkpoint: Path, *options: str | Path) -> str:
    outcome = auto(capfd, checkpoint, *options, "--minutes", "0")
    assert outcome.exit_code == 1, outcome
    (line,) = outcome.error_lines
    return line


def test_a_data_set_without_boxes_is_refused_and_leaves_nothing(tmp_path, capfd, boxes, checkpoint):
    changed(boxes, annotations=[])
    assert "there is no box in it to make a mask for" in line_of(capfd, checkpoint, boxes)
    assert not (tmp_path / "set/boxes_masks").exists()


def test_a_folder_with_nothing_in_it_is_refused(tmp_path, capfd, checkpoint):
    (tmp_path / "empty").mkdir()
    assert "looks like none that is known: say it with --from" in line_of(capfd, checkpoint, tmp_path / "empty")


def test_two_formats_at_once_are_refused(tmp_path, capfd, scene, checkpoint):
    source = source_in(tmp_path, "yolo", scene, capfd)
    write_voc(scene, source / "Annotations")
    assert "it looks like voc and yolo: say it with --from" in line_of(capfd, checkpoint, source)


def test_missing_pictures_are_told_and_the_others_labelled(tmp_path, capfd, boxes, checkpoint):
    content = json.loads(boxes.read_text())
    content["images"][0]["file_name"] = "gone.png"
    changed(boxes, images=content["images"])
    outcome = auto(capfd, checkpoint, boxes, "--minutes", "0")
    assert outcome.exit_code == 1
    assert "1 pictures are missing (gone.png)" in outcome.out
    assert "masks: " in outcome.out.splitlines()[-3]


def test_pictures_that_differ_only_in_their_ending_are_told(tmp_path, capfd, boxes, checkpoint):
    content = json.loads(boxes.read_text())
    name = content["images"][0]["file_name"]
    images = tmp_path / "pictures"
    images.mkdir()
    for each in Path(boxes.parent / "images").iterdir():
        (images / each.name).write_bytes(each.read_bytes())
    (images / f"{Path(name).stem}.bmp").write_bytes((images / content["images"][1]["file_name"]).read_bytes())
    content["images"][1]["file_name"] = f"{Path(name).stem}.bmp"
    changed(boxes, images=content["images"])
    outcome = auto(capfd, checkpoint, boxes, "--images", images, "--minutes", "0", "--to", "labelme")
    assert outcome.exit_code == 1
    assert "pictures that differ only in the ending of their names" in outcome.out
    assert "not in " in outcome.out
    assert all(each["segmentation"] for each in annotations(tmp_path / "set/boxes_masks/masks.json"))


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("yolo/masks", "lies inside the data set"),
        ("yolo", "lies inside the data set"),
        (".", "itself: give a folder of its own"),
        ("file", "is a file: give the name of a folder"),
        ("full", "has something in it that is not of `mal auto`: give another folder"),
    ],
)
def test_a_folder_that_may_not_be_written_is_refused(tmp_path, capfd, scene, checkpoint, out, words):
    source = source_in(tmp_path, "yolo", scene, capfd)
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("")
    before = files_in(tmp_path)
    assert words in line_of(capfd, checkpoint, source, "--out", tmp_path / out)
    assert files_in(tmp_path) == before


def test_the_starter_says_whether_its_masks_are_refined_and_keeps_to_it(tmp_path, capfd, boxes):
    options = [boxes, "--images", boxes.parent / "images", "--out", tmp_path / "out", "--minutes", "0"]
    first = run_mal(capfd, "auto", *options)
    assert first.exit_code == 0, first
    (told,) = [line for line in first.out.splitlines() if line.startswith("masks and their cuts by color agree by")]
    assert told in run_mal(capfd, "auto", *options).out


def test_an_installation_without_a_starter_says_so(tmp_path, capfd, boxes, monkeypatch):
    monkeypatch.setattr("mal.starter.files.__file__", str(tmp_path / "files.py"))
    outcome = run_mal(capfd, "auto", boxes)
    assert "no starter in this installation: give a checkpoint with --checkpoint" in outcome.err


def test_training_without_pytorch_says_what_to_type(capfd, boxes, checkpoint, monkeypatch):
    monkeypatch.setattr("mal.tasks.auto_plan.is_installed", lambda name: False)
    outcome = auto(capfd, checkpoint, boxes)
    assert outcome.exit_code == 1
    assert 'pip install "mask-auto-labeler[train]"; --minutes 0 labels at once' in outcome.err


def test_too_few_boxes_are_labelled_without_training(tmp_path, capfd, boxes, checkpoint):
    content = json.loads(boxes.read_text())
    changed(boxes, annotations=content["annotations"][:1])
    outcome = auto(capfd, checkpoint, boxes, "--dry-run")
    assert outcome.exit_code == 0
    assert "boxes to train on are too few, it takes 20" in outcome.out


def test_too_few_held_out_boxes_are_a_reason_not_to_train(capfd, boxes, checkpoint, monkeypatch):
    monkeypatch.setattr("mal.tasks.auto_plan.LEAST_BOXES", 1)
    monkeypatch.setattr("mal.tasks.auto_plan.LEAST_HELD_OUT", 100)
    outcome = auto(capfd, checkpoint, boxes, "--dry-run")
    assert "no training: " in outcome.out
    assert "boxes in the pictures that are held out are too few to tell whether training helps" in outcome.out


@pytest.fixture
def few_are_enough(monkeypatch):
    monkeypatch.setattr("mal.tasks.auto_plan.LEAST_BOXES", 1)
    monkeypatch.setattr("mal.tasks.auto_plan.LEAST_HELD_OUT", 1)
    monkeypatch.setattr("mal.tasks.auto_train.measure_signals", lambda *_: None)


@pytest.mark.slow
@pytest.mark.usefixtures("few_are_enough")
@pytest.mark.parametrize("network", ["starter", "trained"])
def test_the_network_that_was_chosen_labels(tmp_path, boxes, checkpoint, monkeypatch, capsys, network):
    monkeypatch.setattr("mal.tasks.auto_train.choose", lambda *_: Choice(network, "a test says so"))
    result = mal.auto_label(boxes, out=tmp_path / "out", minutes=1e-5, checkpoint=checkpoint)
    assert result.network == network
    assert result.exit_code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "training ends within the first one, after" in told
    assert "no validation" not in told, "advice for another command"
    at_once = mal.auto_label(boxes, out=tmp_path / "at_once", minutes=0, checkpoint=checkpoint)
    same = annotations(result.masks) == annotations(at_once.masks)
    assert same == (network == "starter")
    held_out = {each["image_id"] for each in annotations(boxes)} - {
        each["image_id"] for each in annotations(tmp_path / "out/work/training_boxes.json")
    }
    assert len(held_out) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("few_are_enough")
def test_a_run_that_was_stopped_while_it_trained_goes_on(tmp_path, boxes, checkpoint, monkeypatch):
    def stopped(spec, **_):
        raise StoppedBySignal(2, "a test")

    monkeypatch.setattr("mal.tasks.auto_train.choose", lambda *_: Choice("trained", "a test says so"))
    with monkeypatch.context() as patch:
        patch.setattr("mal.tasks.train.run", stopped)
        with pytest.raises(StoppedBySignal):
            mal.auto_label(boxes, out=tmp_path / "out", minutes=1e-5, checkpoint=checkpoint)
    schedule = (tmp_path / "out/work/schedule.json").read_bytes()
    assert mal.auto_label(boxes, out=tmp_path / "out", minutes=1e-5, checkpoint=checkpoint).network == "trained"
    assert (tmp_path / "out/work/schedule.json").read_bytes() == schedule


def test_a_missing_checkpoint_is_named(boxes, tmp_path):
    with pytest.raises(UserError, match=r"no\.pth: no such file"):
        mal.auto_label(boxes, checkpoint=tmp_path / "no.pth")


@pytest.mark.parametrize("given", [{"source_format": "coc"}, {"target_format": "voc"}])
def test_a_format_that_is_not_known_is_named_with_those_that_are(boxes, given):
    with pytest.raises(UserError, match=r"'(coc|voc)' is no format of a (source|target) here: it is one of .*coco"):
        mal.auto_label(boxes, minutes=0, **given)
