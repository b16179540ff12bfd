"""The command line where nothing of the extra `train` is installed: what runs, what is refused, and the same masks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mal.checkpoint.saved_spec import saved_spec
from mal.cli import main
from mal.extras import TRAINING_PACKAGES
from tests.data.photos import THREE_SIZES, photos
from tests.small_networks import small_spec

CROP_SIZE = 64
BLOCKED = [*TRAINING_PACKAGES, "llvmlite", "onnx"]
SITE = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""
COMMANDS = f"""
import json, sys
from mal.cli import main

print(json.dumps([main(arguments) for arguments in json.loads(sys.argv[1])]))
assert not {set(BLOCKED)!r} & set(sys.modules)
"""


def exported(path: Path) -> Path:
    """An ONNX file as `mal export onnx` writes it, of a network that finds what is bright."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    side = CROP_SIZE
    inputs = [
        onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 3, side, side]),
        onnx.helper.make_tensor_value_info("box_area", onnx.TensorProto.FLOAT, ["batch"]),
    ]
    outputs = [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 1, side // 4, side // 4])]
    weights = onnx.numpy_helper.from_array(np.full((1, 3, 8, 8), 0.05, np.float32), "weights")
    nodes = [onnx.helper.make_node("Conv", ["images", "weights"], ["logits"], strides=[4, 4], pads=[2, 2, 2, 2])]
    graph = onnx.helper.make_graph(nodes, "bright", inputs, outputs, [weights])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    spec = small_spec(dataset={"crop_size": side}, train={"mask_thres": [0.5]})
    facts = {"network": "student", "crop_size": side, "spec": saved_spec(spec, "patch")}
    onnx.helper.set_model_props(model, {f"mal.{name}": json.dumps(value) for name, value in facts.items()})
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    photos(folder, [3, 5, 1, 4], THREE_SIZES)
    exported(folder / "network.onnx")
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(SITE)
    return folder


def run_without(folder: Path, *commands: Sequence[Any]) -> tuple[list[int], str]:
    """Exit codes of commands in one process without the packages, and what it wrote to stderr."""
    path = os.pathsep.join(filter(None, [str(folder / "site"), os.environ.get("PYTHONPATH"), *sys.path]))
    run = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps([[str(each) for each in command] for command in commands])],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1]), run.stderr


def label(folder: Path, out: Path, *options: str) -> list[Any]:
    files = ["--ann", folder / "boxes.json", "--images", folder, "--checkpoint", folder / "network.onnx"]
    return ["label", *files, "--out", out, "--min-score", "0.5", *options]


def test_masks_scores_and_reports_are_the_same_with_and_without_the_packages(folder, tmp_path):
    ways = {"plain": ["--flip"], "cut": ["--refine", "graph_cut", "--no-overlap"]}
    codes, _ = run_without(folder, *(label(folder, tmp_path / f"{name}_without.json", *ways[name]) for name in ways))
    assert codes == [0, 0]
    for name, options in ways.items():
        assert main([str(each) for each in label(folder, tmp_path / f"{name}_with.json", *options)]) == 0
        with_them, without = (json.loads((tmp_path / f"{name}_{how}.json").read_text()) for how in ("with", "without"))
        assert with_them == without
        assert sum(each["area"] for each in without["annotations"]) > 0
        assert all("mask_score" in each for each in without["annotations"])


def spec_file(folder: Path, path: Path, truth: Path) -> Path:
    files = {"ann_path": str(folder / "boxes.json"), "img_dir": str(folder), "label_dump_path": "masks.json"}
    checkpoint = {"checkpoint": str(folder / "network.onnx")}
    values = {
        "results_dir": str(path.parent / "results"),
        "dataset": {"val_ann_path": str(truth), "val_img_dir": str(folder)},
        "inference": files | checkpoint,
        "evaluate": checkpoint,
    }
    path.write_text(json.dumps(values))
    return path


def test_several_processes_are_refused_rather_than_one_started(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MAL_CPU_PROCESSES", "2")
    spec = spec_file(folder, tmp_path / "spec.yaml", folder / "boxes.json")
    codes, errors = run_without(folder, ["inference", "-e", spec])
    assert codes == [1]
    assert "inference: more than one process needs lightning, which is not installed" in errors


def test_files_are_checked_converted_compared_and_reported_on(folder, tmp_path):
    masks = tmp_path / "masks.json"
    other = tmp_path / "other.json"
    commands = [
        label(folder, masks),
        label(folder, other, "--flip"),
        ["check", folder / "boxes.json", folder],
        ["convert", masks, tmp_path / "yolo", "--to", "yolo", "--images", folder],
        ["report", "--ann", masks, "--images", folder, "--out", tmp_path / "page.html"],
        ["compare", masks, other, "--truth", masks, "--images", folder, "--out", tmp_path / "compared"],
        ["inference", "-e", spec_file(folder, tmp_path / "spec.yaml", masks)],
        ["evaluate", "-e", tmp_path / "spec.yaml"],
        ["report", tmp_path / "results/evaluate"],
        ["spec", "inference"],
        ["sample", tmp_path / "sample", "--images", "5"],
    ]
    codes, errors = run_without(folder, *commands)
    assert codes == [0] * len(commands), errors


def test_what_takes_pytorch_says_in_one_line_what_to_type(folder, tmp_path):
    (tmp_path / "model.pth").write_bytes(b"PK")
    checkpoint = [
        each if each != folder / "network.onnx" else tmp_path / "model.pth"
        for each in label(folder, tmp_path / "m.json")
    ]
    commands = [checkpoint, label(folder, tmp_path / "m.json", "--refine", "crf"), ["demo", "--out", tmp_path / "demo"]]
    codes, errors = run_without(folder, *commands)
    assert codes == [1, 1, 1]
    lines = errors.splitlines()
    assert len(lines) == 3
    assert all(line.endswith('which is not installed: pip install "mask-auto-labeler[train]"') for line in lines)
    assert "model.pth: a checkpoint needs torch" in lines[0]
    assert "refinement by mean field (crf) needs torch" in lines[1]
