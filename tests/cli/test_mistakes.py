"""What a person is told when the input is at fault: one line that names it, never a traceback."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from mal.training.progress import TrainingProgress
from tests.cli.small_runs import SmallData, run_mal, run_mal_in_a_process, small_data, status_lines, write_spec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint(scenes, tmp_path_factory) -> Path:
    """A model of one epoch."""
    folder = tmp_path_factory.mktemp("model")
    spec = write_spec(small_data(folder / "coco", scenes), folder / "results", train__num_epochs=1)
    assert run_mal_in_a_process("train", "-e", spec).exit_code == 0
    return folder / "results/train/mal_model_latest.pth"


@pytest.fixture
def data(scenes, tmp_path) -> SmallData:
    """Photos and files that a test may damage."""
    return small_data(tmp_path / "coco", scenes)


@pytest.fixture
def labeling(data, checkpoint, tmp_path) -> Path:
    """A spec that evaluates and labels with the model."""
    paths = {"evaluate__checkpoint": str(checkpoint), "inference__checkpoint": str(checkpoint)}
    return write_spec(data, tmp_path / "results", **paths)


def first_photo(annotations: Path, data: SmallData) -> Path:
    return data.images / json.loads(annotations.read_text())["images"][0]["file_name"]


def cut(path: Path) -> None:
    """Keep the first third of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])


def only_line(outcome) -> str:
    assert outcome.exit_code == 1
    (line,) = outcome.error_lines
    return line


def test_a_missing_training_image_is_named_before_training_starts(data, tmp_path, capfd):
    photo = first_photo(data.boxes, data)
    photo.unlink()
    outcome = run_mal(capfd, "train", "-e", write_spec(data, tmp_path / "results"))
    assert photo.name in only_line(outcome)
    assert not list((tmp_path / "results").rglob("*.pth"))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_training_image_is_named(data, tmp_path, capfd, num_workers):
    photo = first_photo(data.boxes, data)
    cut(photo)
    spec = write_spec(data, tmp_path / "results", dataset__num_workers_per_gpu=num_workers)
    line = only_line(run_mal(capfd, "train", "-e", spec))
    assert line.startswith("mal: error: image ")
    assert photo.name in line
    last = status_lines(tmp_path / "results/train/status.json")[-1]
    assert last["level"] == "error"
    assert photo.name in last["message"]


def test_a_validation_image_that_cannot_be_read_is_named_and_training_goes_on(data, tmp_path, capfd):
    photo = first_photo(data.truth, data)
    photo.unlink()
    outcome = run_mal(capfd, "train", "-e", write_spec(data, tmp_path / "results", evaluate__batch_size=3))
    assert outcome.exit_code == 0
    assert outcome.out.count(photo.name) == 3  # one line a box, once in two epochs
    assert "val/mIoU" in outcome.out


def test_training_ends_well_where_no_validation_image_can_be_read(data, tmp_path, capfd):
    for image in json.loads(data.truth.read_text())["images"]:
        (data.images / image["file_name"]).unlink()
    outcome = run_mal(capfd, "train", "-e", write_spec(data, tmp_path / "results", train__num_epochs=1))
    assert outcome.exit_code == 0, outcome.err
    assert "not validated on: annotation" in outcome.out


@pytest.mark.parametrize("damage", [Path.unlink, cut], ids=["missing", "damaged"])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_inference_labels_the_other_images_and_names_the_one_it_cannot_read(
    data, labeling, tmp_path, capfd, damage, num_workers
):
    photo = first_photo(data.truth, data)
    damage(photo)
    outcome = run_mal(capfd, "inference", "-e", labeling, f"dataset.num_workers_per_gpu={num_workers}")
    assert outcome.exit_code == 1
    assert "6 annotations: 3 labelled, 3 failed" in outcome.out
    folder = tmp_path / "results/inference"
    report = json.loads((folder / "inference_report.json").read_text())
    assert [record["action"] for record in report["records"]] == ["failed"] * 3
    assert all(photo.name in record["reason"] for record in report["records"])
    annotations = json.loads((folder / "masks.json").read_text())["annotations"]
    assert len(annotations) == 6
    assert sum(record["area"] > 0 for record in annotations if "mal" not in record) == 3


def test_evaluation_goes_on_without_the_image_it_cannot_read(data, labeling, tmp_path, capfd):
    photo = first_photo(data.truth, data)
    photo.unlink()
    outcome = run_mal(capfd, "evaluate", "-e", labeling)
    assert outcome.exit_code == 1
    assert photo.name in outcome.out
    metrics = json.loads((tmp_path / "results/evaluate/metrics.json").read_text())
    assert (metrics["failed"], metrics["model"]["n"]) == (3, 3)


def test_evaluation_where_no_image_can_be_read_says_so(data, labeling, capfd):
    for image in json.loads(data.truth.read_text())["images"]:
        (data.images / image["file_name"]).unlink()
    outcome = run_mal(capfd, "evaluate", "-e", labeling)
    assert outcome.exit_code == 1
    assert "unexpected" not in outcome.err
    assert "failed: annotation" in outcome.out


def test_evaluation_with_clustering_survives_an_image_it_cannot_read(data, labeling, capfd):
    first_photo(data.truth, data).unlink()
    outcome = run_mal(capfd, "evaluate", "-e", labeling, "evaluate.comp_clustering=true")
    assert outcome.exit_code == 1
    assert "unexpected" not in outcome.err


def test_a_file_of_boxes_alone_cannot_be_evaluated(data, labeling, capfd):
    line = only_line(run_mal(capfd, "evaluate", "-e", labeling, f"dataset.val_ann_path={data.boxes}"))
    assert str(data.boxes) in line
    assert "no annotation has a mask" in line


def test_evaluation_without_masks_switched_on_is_refused(labeling, capfd):
    assert "dataset.load_mask" in only_line(run_mal(capfd, "evaluate", "-e", labeling, "dataset.load_mask=false"))


@pytest.mark.parametrize("task", ["evaluate", "inference"])
@pytest.mark.parametrize(
    "change", ["model.arch=vit-deit-small/16", "model.mask_head_out_channel=16", "model.num_blocks=2"]
)
def test_a_checkpoint_of_another_network_is_refused(labeling, checkpoint, capfd, task, change):
    line = only_line(run_mal(capfd, task, "-e", labeling, change))
    assert checkpoint.name in line
    assert "model" in line


@pytest.mark.parametrize(
    "change", ["model.arch=vit-deit-small/16", "model.mask_head_out_channel=16", "model.frozen_stages=[0]"]
)
def test_a_run_is_not_resumed_with_another_network(data, checkpoint, tmp_path, capfd, change):
    spec = write_spec(data, tmp_path / "results", train__resume_training_checkpoint_path=str(checkpoint))
    line = only_line(run_mal(capfd, "train", "-e", spec, change))
    assert change.partition("=")[0] in line
    assert "results_dir" in line


def test_a_run_is_not_resumed_from_weights_alone(data, checkpoint, tmp_path, capfd):
    import torch

    alone = tmp_path / "alone.pth"
    torch.save(torch.load(checkpoint, weights_only=True)["state_dict"], alone)
    spec = write_spec(data, tmp_path / "results", train__resume_training_checkpoint_path=str(alone))
    assert "train.pretrained_model_path" in only_line(run_mal(capfd, "train", "-e", spec))


@pytest.mark.parametrize("task", ["evaluate", "inference"])
def test_a_truncated_checkpoint_is_named(labeling, checkpoint, tmp_path, capfd, task):
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(checkpoint.read_bytes()[:5000])
    assert "damaged.pth" in only_line(run_mal(capfd, task, "-e", labeling, f"{task}.checkpoint={damaged}"))


def test_a_truncated_latest_checkpoint_with_none_beside_it_stops_a_resumed_run(data, checkpoint, tmp_path, capfd):
    folder = tmp_path / "results/train"
    folder.mkdir(parents=True)
    (folder / "mal_model_latest.pth").write_bytes(checkpoint.read_bytes()[:5000])
    line = only_line(run_mal(capfd, "train", "-e", write_spec(data, tmp_path / "results")))
    assert "mal_model_latest.pth" in line
    assert "results_dir" in line


def test_a_truncated_latest_checkpoint_is_named_and_the_run_goes_on_from_the_one_beside_it(
    data, checkpoint, tmp_path, capfd
):
    folder = tmp_path / "results/train"
    folder.mkdir(parents=True)
    (folder / "model_epoch_000.pth").write_bytes(checkpoint.read_bytes())
    (folder / "mal_model_latest.pth").write_bytes(checkpoint.read_bytes()[:5000])
    outcome = run_mal(capfd, "train", "-e", write_spec(data, tmp_path / "results"))
    assert outcome.exit_code == 0, outcome.err
    assert "mal_model_latest.pth is damaged; model_epoch_000.pth (step 3)" in outcome.out
    warnings = [entry["message"] for entry in status_lines(folder / "status.json") if entry["level"] == "warning"]
    assert any("mal_model_latest.pth is damaged" in message for message in warnings)


def test_the_output_may_not_be_the_input(data, labeling, capfd):
    before = data.truth.read_bytes()
    line = only_line(run_mal(capfd, "inference", "-e", labeling, f"inference.label_dump_path={data.truth}"))
    assert str(data.truth) in line
    assert data.truth.read_bytes() == before


def test_label_may_not_overwrite_its_input(data, checkpoint, capfd):
    arguments = ["--ann", data.truth, "--images", data.images, "--checkpoint", checkpoint, "--out", data.truth]
    assert str(data.truth) in only_line(run_mal(capfd, "label", *arguments))


@pytest.mark.parametrize(
    ("task", "key"),
    [("train", "dataset.train_ann_path"), ("train", "dataset.val_ann_path"), ("evaluate", "dataset.val_ann_path"),
     ("inference", "inference.ann_path")],
)  # fmt: skip
@pytest.mark.parametrize("content", ["", '{"images": [{"id": 1', "[1, 2]", "{}"], ids=["empty", "cut", "list", "bare"])
def test_a_damaged_annotation_file_is_named(labeling, tmp_path, capfd, task, key, content):
    path = tmp_path / "broken.json"
    path.write_text(content)
    outcome = run_mal(capfd, task, "-e", labeling, f"{key}={path}")
    assert outcome.exit_code == 1
    assert "broken.json" in outcome.err
    assert len(outcome.error_lines) == 1


def test_no_box_large_enough_is_a_mistake_that_names_the_limit(data, tmp_path, capfd):
    line = only_line(run_mal(capfd, "train", "-e", write_spec(data, tmp_path / "r", dataset__min_obj_size=1e9)))
    assert "min_obj_size" in line
    assert str(data.boxes) in line


@pytest.mark.parametrize("task", ["train", "evaluate", "inference"])
def test_results_under_a_file_are_refused(labeling, tmp_path, capfd, task):
    (tmp_path / "a_file").write_text("")
    outcome = run_mal(capfd, task, "-e", labeling, f"results_dir={tmp_path}/a_file/results")
    assert outcome.exit_code == 1
    assert "a_file" in outcome.err


def test_results_where_no_folder_can_be_made_are_refused(labeling, capfd):
    if not Path("/proc/self").is_dir():
        pytest.skip("no /proc here")
    outcome = run_mal(capfd, "train", "-e", labeling, "results_dir=/proc/mal_results")
    assert outcome.exit_code == 1
    assert "/proc/mal_results" in outcome.err
    assert "unexpected" not in outcome.err


def test_results_in_a_folder_without_permission_are_refused(labeling, tmp_path, capfd):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "closed").mkdir(mode=0o500)
    outcome = run_mal(capfd, "train", "-e", labeling, f"results_dir={tmp_path}/closed/results")
    assert outcome.exit_code == 1
    assert "closed" in outcome.err


def test_a_label_file_that_cannot_be_written_is_named_before_labelling(data, labeling, tmp_path, capfd):
    (tmp_path / "a_file").write_text("")
    outcome = run_mal(capfd, "inference", "-e", labeling, f"inference.label_dump_path={tmp_path}/a_file/masks.json")
    assert "a_file/masks.json" in only_line(outcome)
    assert "running on" not in outcome.out


@pytest.fixture
def restored_interrupt():
    """The trainer leaves this process deaf to Ctrl-C."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def test_training_that_is_interrupted_says_so_and_can_go_on(data, tmp_path, capfd, monkeypatch, restored_interrupt):
    spec = write_spec(data, tmp_path / "results")

    def interrupt(self, trainer, *_):
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_train_batch_end", interrupt)
        outcome = run_mal(capfd, "train", "-e", spec)
    assert outcome.exit_code == 130
    assert outcome.error_lines == ["mal: interrupted"]
    assert status_lines(tmp_path / "results/train/status.json")[-1]["level"] == "error"
    outcome = run_mal(capfd, "train", "-e", spec)
    assert outcome.exit_code == 0
    assert "resuming from" in outcome.out


def test_a_photo_that_is_none_is_named_by_label(checkpoint, tmp_path, capfd):
    photo = tmp_path / "photo.jpg"
    photo.write_text("not a photo")
    arguments = ["--image", photo, "--box", "1,1,5,5", "--checkpoint", checkpoint, "--overlay", tmp_path / "o.png"]
    assert "photo.jpg" in only_line(run_mal(capfd, "label", *arguments))


def test_an_overlay_of_unknown_kind_is_named_by_label(data, checkpoint, tmp_path, capfd):
    photo = first_photo(data.truth, data)
    arguments = ["--image", photo, "--box", "1,1,50,50", "--checkpoint", checkpoint, "--overlay", tmp_path / "o.xyz"]
    assert "o.xyz" in only_line(run_mal(capfd, "label", *arguments))


def test_a_device_that_is_not_there_is_named_by_label(data, checkpoint, tmp_path, capfd):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    photo = first_photo(data.truth, data)
    arguments = ["--image", photo, "--box", "1,1,50,50", "--checkpoint", checkpoint, "--device", "cuda:1"]
    assert "no CUDA device" in only_line(run_mal(capfd, "label", *arguments))


def test_a_frozen_stage_beyond_the_last_block_is_named(data, tmp_path, capfd):
    spec = write_spec(data, tmp_path / "results")
    assert "frozen_stages" in only_line(run_mal(capfd, "train", "-e", spec, "model.frozen_stages=[7]"))
