from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from mal.cli import main
from mal.sample.generate import SamplePaths, make_sample
from tests.cli.small_runs import run_mal
from tests.export.exported import CROP_SIZE, small_checkpoint


@pytest.fixture
def asked(monkeypatch) -> list:
    """What the exporting task was asked to do."""
    calls = []
    task = SimpleNamespace(run=lambda *arguments, **options: calls.append((arguments, options)) or 0)
    monkeypatch.setitem(sys.modules, "mal.tasks.export_onnx", task)
    monkeypatch.setattr("mal.tasks.export_onnx", task, raising=False)
    return calls


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.pth").write_text("")
    return tmp_path


def export(line: str) -> int:
    return main(["export", *line.split()])


def test_a_checkpoint_is_exported_with_the_defaults(asked, folder):
    assert export("onnx --checkpoint m.pth --out m.onnx") == 0
    assert asked == [
        ((Path("m.pth"), Path("m.onnx")), {"network": "student", "opset": 18, "decrypt": False, "calibration": None})
    ]


def test_the_network_the_opset_and_the_clear_text_can_be_chosen(asked, folder):
    assert export("onnx --checkpoint m.pth --out m.onnx --network mixed --opset 20 --decrypt") == 0
    assert asked[0][1] == {"network": "mixed", "opset": 20, "decrypt": True, "calibration": None}


def test_boxes_and_images_give_the_ranges_of_int8(asked, folder):
    assert export("onnx --checkpoint m.pth --out m.onnx --int8 boxes.json --images photos") == 0
    assert asked[0][1]["calibration"] == (Path("boxes.json"), Path("photos"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "the following arguments are required: FORMAT"),
        ("onnx --out m.onnx", "the following arguments are required: --checkpoint"),
        ("onnx --checkpoint m.pth --out m.pb", "'m.pb' does not end in .onnx"),
        ("onnx --checkpoint m.pth --out m.onnx --opset 11", "11 is too small; must be at least 18"),
    ],
)
def test_wrong_usage_ends_with_one_line_and_code_2(asked, folder, capsys, line, problem):
    assert export(line) == 2
    assert problem in capsys.readouterr().err.splitlines()[-1]
    assert not asked


def test_a_checkpoint_that_is_not_there_is_one_line(asked, folder, capsys):
    assert export("onnx --checkpoint none.pth --out m.onnx") == 1
    assert capsys.readouterr().err == "mal: error: --checkpoint none.pth: no such file\n"


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> SamplePaths:
    return make_sample(tmp_path_factory.mktemp("sample"), num_train_images=1, num_val_images=2)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("exported")
    checkpoint = small_checkpoint(folder / "model.pth")
    assert main(["export", "onnx", "--checkpoint", str(checkpoint), "--out", str(folder / "model.onnx")]) == 0
    return folder / "model.onnx"


def write_spec(path: Path, sample: SamplePaths, checkpoint: Path, **dataset) -> Path:
    spec = {
        "results_dir": str(path.parent / f"results_{checkpoint.suffix[1:]}"),
        "dataset": {"crop_size": CROP_SIZE, "num_workers_per_gpu": 0, **dataset},
        "train": {"mask_thres": [0.5]},
        "inference": {
            "checkpoint": str(checkpoint),
            "ann_path": str(sample.boxes_val),
            "img_dir": str(sample.val_images),
            "label_dump_path": "masks.json",
        },
    }
    path.write_text(yaml.safe_dump(spec))
    return path


def masks_in(path: Path) -> list:
    return [annotation["segmentation"] for annotation in json.loads(path.read_text())["annotations"]]


def test_inference_with_the_exported_file_writes_the_checkpoints_masks(sample, exported, tmp_path, capfd):
    masks = {}
    for model in (exported, exported.with_suffix(".pth")):
        outcome = run_mal(capfd, "inference", "-e", write_spec(tmp_path / "spec.yaml", sample, model))
        assert outcome.exit_code == 0, outcome.err
        masks[model.suffix] = masks_in(tmp_path / f"results_{model.suffix[1:]}" / "inference" / "masks.json")
    assert len(masks[".onnx"]) > 2
    assert masks[".onnx"] == masks[".pth"]


def test_labelling_with_the_exported_file_writes_the_checkpoints_masks(sample, exported, tmp_path, capfd):
    for model in (exported, exported.with_suffix(".pth")):
        out = tmp_path / f"{model.suffix[1:]}.json"
        inputs = ("--ann", sample.boxes_val, "--images", sample.val_images, "--workers", "0")
        assert run_mal(capfd, "label", *inputs, "--checkpoint", model, "--out", out).exit_code == 0
    assert masks_in(tmp_path / "onnx.json") == masks_in(tmp_path / "pth.json")


def test_another_crop_size_than_the_exported_files_is_one_line(sample, exported, tmp_path, capfd):
    spec = write_spec(tmp_path / "spec.yaml", sample, exported, crop_size=128)
    outcome = run_mal(capfd, "inference", "-e", spec)
    assert outcome.exit_code == 1
    assert outcome.error_lines == [
        f"mal: error: dataset.crop_size: 128 in the spec, but {exported} takes crops of 64; set it to that"
    ]


def test_the_network_that_the_exported_file_lacks_is_one_line(sample, exported, tmp_path, capfd):
    spec = write_spec(tmp_path / "spec.yaml", sample, exported)
    outcome = run_mal(capfd, "inference", "-e", spec, "inference.use_teacher_test=true")
    assert outcome.exit_code == 1
    assert len(outcome.error_lines) == 1
    assert f"{exported}: holds the student network, but the teacher is asked for" in outcome.error_lines[0]
