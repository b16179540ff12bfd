"""The same checkpoint gives the same masks in every command: command line > spec file > checkpoint > default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mal.checkpoint.saved_spec import saved_spec
from mal.cli import main
from mal.data.label_dataset import CropSettings
from mal.labeler import MaskAutoLabeler
from mal.masks.postprocess import NO_POSTPROCESSING
from mal.masks.rle import Rle
from mal.models.ema import make_teacher
from mal.models.prediction_mode import PredictionMode
from tests.checkpoint.foreign_files import FOREIGN_FILES, nvlabs_file, whole
from tests.data.photos import THREE_SIZES, photos
from tests.small_networks import small_network, small_spec

PREDICTION = {"use_teacher_test": True, "use_flip_test": True, "use_crf_test": True}
HELD: dict[str, Any] = {
    "dataset": {"crop_size": 64, "border": "reflect"},
    "train": {"mask_thres": [0.45, 0.5, 0.55], "test_margin_rate": [0.2, 0.2], "use_amp": False, "crf_num_iter": 3},
    "evaluate": PREDICTION,
    "inference": PREDICTION,
    "masks": {"min_part": 0.2, "fill_holes": 0.1, "allow_outside": 0.1, "no_overlap": True},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    photos(folder, [3, 2], THREE_SIZES)
    document = json.loads((folder / "boxes.json").read_text())
    for record in document["annotations"]:
        x, y, width, height = record["bbox"]
        record["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    (folder / "truth.json").write_text(json.dumps(document))
    return folder


def whole_network() -> dict[str, torch.Tensor]:
    network = small_network()
    with torch.no_grad():
        network.roi_head.mlp2.bias.normal_(0, 3)  # probabilities on both sides of the threshold
    teacher = make_teacher(network)
    with torch.no_grad():
        teacher.roi_head.mlp2.bias.add_(0.5)
    networks = {"student": network, "teacher": teacher}
    return {f"{name}.{key}": value for name, each in networks.items() for key, value in each.state_dict().items()}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pth"
    content = {"state_dict": whole_network(), "hyper_parameters": saved_spec(small_spec(**HELD), "patch")}
    torch.save(content, path)
    return path


def masks_in(path: Path) -> list[Rle]:
    return [record["segmentation"] for record in json.loads(path.read_text())["annotations"]]


def by_label(folder: Path, data: Path, checkpoint: Path, *options: str) -> list[Rle]:
    out = folder / "by_label.json"
    where = ["--ann", data / "boxes.json", "--images", data, "--checkpoint", checkpoint, "--out", out]
    assert main(["label", *map(str, where), "--workers", "0", "--device", "cpu", *options]) == 0
    return masks_in(out)


def spec_file(folder: Path, data: Path, checkpoint: Path, **sections: dict[str, Any]) -> Path:
    spec: dict[str, Any] = {
        "results_dir": str(folder / "results"),
        "inference": {"ann_path": str(data / "boxes.json"), "img_dir": str(data), "label_dump_path": "masks.json"},
        "dataset": {"val_ann_path": str(data / "truth.json"), "val_img_dir": str(data), "num_workers_per_gpu": 0},
        "evaluate": {"report": False},
    }
    for section in ("inference", "evaluate"):
        spec[section] |= {"checkpoint": str(checkpoint), "report": False}
    for name, values in sections.items():
        spec[name] = spec.get(name, {}) | values
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return folder / "spec.yaml"


def by_inference(spec: Path, *overrides: str) -> list[Rle]:
    assert main(["inference", "-e", str(spec), *overrides]) == 0
    return masks_in(spec.parent / "results/inference/masks.json")


def test_a_spec_that_names_files_only_labels_as_mal_label_does(data, checkpoint, tmp_path, capsys):
    expected = by_label(tmp_path, data, checkpoint)
    assert any(rle["counts"] for rle in expected)
    capsys.readouterr()
    assert by_inference(spec_file(tmp_path, data, checkpoint)) == expected
    out = capsys.readouterr().out
    assert "from the checkpoint: " in out
    for told in ("dataset.crop_size 64", "train.mask_thres [0.45, 0.5, 0.55]", "masks.allow_outside 0.1"):
        assert told in out
    assert "warning" not in out


def test_evaluation_measures_the_masks_that_labelling_writes(data, checkpoint, tmp_path):
    assert main(["evaluate", "-e", str(spec_file(tmp_path, data, checkpoint))]) == 0
    written = json.loads((tmp_path / "results/evaluate/predictions.json").read_text())
    assert [record["segmentation"] for record in written] == by_label(tmp_path, data, checkpoint, "--overlap")
    saved = yaml.safe_load((tmp_path / "results/evaluate/spec.yaml").read_text())
    assert (saved["dataset"]["crop_size"], saved["evaluate"]["use_flip_test"]) == (64, True)


@pytest.mark.parametrize("refine", ["graph_cut", "auto"])
def test_a_graph_cut_is_the_same_in_every_command(data, checkpoint, tmp_path, refine):
    expected = by_label(tmp_path, data, checkpoint, "--refine", refine, "--overlap")
    sections = {"inference": {"refine": refine}, "evaluate": {"refine": refine, "report": False}}
    sections["masks"] = {"no_overlap": False}
    spec = spec_file(tmp_path, data, checkpoint, **sections)
    assert by_inference(spec) == expected
    assert main(["evaluate", "-e", str(spec)]) == 0
    written = json.loads((tmp_path / "results/evaluate/predictions.json").read_text())
    assert [record["segmentation"] for record in written] == expected
    assert by_python(data, MaskAutoLabeler.from_checkpoint(checkpoint, refine=refine, device="cpu")) == expected
    (tmp_path / "plain").mkdir()
    assert by_label(tmp_path / "plain", data, checkpoint, "--refine", "none", "--overlap") != expected


@pytest.fixture(scope="module")
def refining(checkpoint, tmp_path_factory) -> Path:
    """A checkpoint trained by a spec that refines."""
    content = torch.load(checkpoint, weights_only=False)
    for section in ("evaluate", "inference"):
        content["hyper_parameters"][section] |= {"use_crf_test": False, "refine": "graph_cut"}
    path = tmp_path_factory.mktemp("refining") / "model.pth"
    torch.save(content, path)
    return path


def test_a_checkpoint_trained_by_a_spec_that_refines_labels_so_without_a_word(refining, data, tmp_path, capsys):
    expected = by_label(tmp_path, data, refining, "--refine", "graph_cut", "--overlap")
    assert by_label(tmp_path, data, refining, "--overlap", "--overwrite") == expected
    assert "inference.refine 'graph_cut'" in capsys.readouterr().out
    spec = spec_file(tmp_path, data, refining, masks={"no_overlap": False})
    assert by_inference(spec) == expected
    assert main(["evaluate", "-e", str(spec)]) == 0
    written = json.loads((tmp_path / "results/evaluate/predictions.json").read_text())
    assert [record["segmentation"] for record in written] == expected
    assert by_python(data, MaskAutoLabeler.from_checkpoint(refining, device="cpu")) == expected
    assert by_label(tmp_path, data, refining, "--overlap", "--refine", "none", "--overwrite") != expected


def test_compat_labels_as_the_public_programs_do_whatever_the_checkpoint_holds(refining, data, tmp_path):
    bare = nvlabs_file(whole_network(), tmp_path / "mal.ckpt")
    expected = by_label(tmp_path, data, bare, "--crop-size", "64")
    assert by_label(tmp_path, data, refining, "--compat", "tao", "--overwrite") == expected
    assert by_inference(spec_file(tmp_path, data, refining, inference={}), "compat=tao") == expected
    assert by_python(data, MaskAutoLabeler.from_checkpoint(refining, compat="tao", device="cpu")) == expected
    assert by_label(tmp_path, data, refining, "--overwrite") != expected


def test_python_labels_as_the_commands_do(data, checkpoint, tmp_path):
    labeler = MaskAutoLabeler.from_checkpoint(checkpoint, device="cpu")
    assert by_python(data, labeler) == by_label(tmp_path, data, checkpoint, "--overlap")


def by_python(data: Path, labeler: MaskAutoLabeler) -> list[Rle]:
    document = json.loads((data / "boxes.json").read_text())
    found = []
    for image in document["images"]:
        boxes = [record["bbox"] for record in document["annotations"] if record["image_id"] == image["id"]]
        xyxy = [[x, y, x + width, y + height] for x, y, width, height in boxes]
        found += [mask.rle() for mask in labeler.label_instances(data / image["file_name"], xyxy)]
    return found


@pytest.mark.parametrize(
    ("section", "name", "value", "flag"),
    [
        ("dataset", "crop_size", 96, "--crop-size 96"),
        ("train", "mask_thres", [0.3], "--threshold 0.3"),
        ("inference", "use_flip_test", False, "--no-flip"),
        ("masks", "within_box", True, "--within-box"),
    ],
)
def test_a_spec_that_says_otherwise_goes_before_the_checkpoint_and_both_values_are_told(
    section, name, value, flag, data, checkpoint, tmp_path, capsys
):
    expected = by_label(tmp_path, data, checkpoint, *flag.split())
    capsys.readouterr()
    assert by_inference(spec_file(tmp_path, data, checkpoint, **{section: {name: value}})) == expected
    (warning,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: the spec goes"))
    assert f"{section}.{name} is {yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}" in warning
    assert "in the checkpoint" in warning


def test_the_command_line_goes_before_the_spec_file(data, checkpoint, tmp_path):
    expected = by_label(tmp_path, data, checkpoint, "--threshold", "0.3")
    spec = spec_file(tmp_path, data, checkpoint, train={"mask_thres": [0.9]})
    assert by_inference(spec, "train.mask_thres=[0.3]") == expected


@pytest.mark.parametrize("layout", FOREIGN_FILES)
def test_another_program_s_masks_are_those_of_compat_without_a_word(layout, tmp_path):
    stem = "patch" if layout == "tao_6" else "conv"
    path = FOREIGN_FILES[layout](whole(small_network(stem)), tmp_path / "mal.ckpt")
    plain, public = (MaskAutoLabeler.from_checkpoint(path, compat=compat, device="cpu") for compat in (None, "tao"))
    for labeler in (plain, public):
        assert (labeler.mode, labeler.cleaning) == (PredictionMode(), NO_POSTPROCESSING)
        assert (labeler.thresholds, labeler.crop) == ([0.1], CropSettings(512, [0.6, 0.6], "wrap", 0.0))


def test_another_program_s_checkpoint_gets_the_public_defaults(data, tmp_path, capsys):
    path = nvlabs_file(whole_network(), tmp_path / "mal.ckpt")
    labels = by_label(tmp_path, data, path)
    assert by_inference(spec_file(tmp_path, data, path)) == labels
    saved = yaml.safe_load((tmp_path / "results/inference/spec.yaml").read_text())
    assert saved["dataset"]["crop_size"] == 512
    assert (saved["train"]["mask_thres"], saved["train"]["test_margin_rate"]) == ([0.1], [0.6, 0.6])
    assert "warning" not in capsys.readouterr().out


def test_a_photo_is_labelled_as_a_file_is(data, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = json.loads((data / "boxes.json").read_text())
    first = document["images"][0]
    boxes = [record["bbox"] for record in document["annotations"] if record["image_id"] == first["id"]]
    words = [f"--box={','.join(map(str, box))}" for box in boxes]
    command = ["label", "--image", str(data / first["file_name"]), *words, "--checkpoint", str(checkpoint)]
    assert main([*command, "--out", "photo.json", "--device", "cpu"]) == 0
    assert masks_in(tmp_path / "photo.json") == by_label(tmp_path, data, checkpoint)[: len(boxes)]
