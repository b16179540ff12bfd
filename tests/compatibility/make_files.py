"""Makes the files of `made_by_0_1/`: what a user of that version may have on the disk.

They were made once, by the version that their folder names, and must never be made anew: later versions have to read
them. `python -m tests.compatibility.make_files FOLDER` shows how; a new folder with files of a later version may be
put beside.

The network is tiny, and all of its backbone is frozen and coarse, so that the files compress to little.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from mal.checkpoint.convert import write_converted
from mal.checkpoint.load import load_checkpoint
from mal.checkpoint.saved_spec import saved_spec
from mal.config.schema import ExperimentSpec
from mal.models.from_spec import build_network

KEY = "a key for tests"
FOLDER = "@FOLDER@"  # stands for the folder of the files, which is another one each time that they are unpacked
MODEL = {
    "mask_head_num_convs": 2,
    "mask_head_hidden_channel": 4,
    "mask_head_out_channel": 4,
}
TRAINED = MODEL | {"arch": "timm/test_convnext", "frozen_stages": [0, 1, 2, 3]}
LABEL = "label --ann data/boxes.json --images data --checkpoint results/train/mal_model_latest.pth --out by_label.json"
LABEL_OPTIONS = "--batch-size 2 --workers 0 --fill-holes 0.1 --device cpu"
SEALED = (
    "label --ann data/boxes.json --images data --checkpoint sealed.pth --out by_sealed.json --workers 0 --device cpu"
)
INFERENCE = "inference -e spec.yaml"
TRAIN = "train -e spec.yaml"

_STOP_TRAINING = """
from mal.training.module import MalModule
step = MalModule.training_step
def stop(self, batch, index):
    if self.current_epoch == 1 and index == 1:
        os._exit(9)
    return step(self, batch, index)
MalModule.training_step = stop
"""
_STOP_LABELING = """
from mal.labeling.shards import ShardWriter
write = ShardWriter.write
def stop(self, found):
    stop.written += 1
    if stop.written > 3:
        os._exit(9)
    write(self, found)
stop.written = 0
ShardWriter.write = stop
"""


def main(target: Path) -> None:
    """Make all files in an empty or new folder."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        _make_data(folder / "data")
        (folder / "spec.yaml").write_text(yaml.safe_dump(_spec(), sort_keys=False))
        _write_coarse_backbone(folder / "coarse.pth")
        _write_sealed(folder / "sealed.pth")
        _run(folder, f"{TRAIN} train.pretrained_model_path=coarse.pth", _STOP_TRAINING)
        (folder / "coarse.pth").unlink()
        _run(folder, f"{LABEL} {LABEL_OPTIONS}", _STOP_LABELING)
        _run(folder, INFERENCE, _STOP_LABELING)
        _pack(folder, target / "unfinished.tar.xz")
        (target / "sealed.pth").write_bytes((folder / "sealed.pth").read_bytes())
        _run(folder, f"{LABEL} {LABEL_OPTIONS}")
        _run(folder, INFERENCE)
        _run(folder, SEALED)
        _run(folder, TRAIN)
        expected = {
            "sha256": {
                "by_label": _sha256(folder / "by_label.json"),
                "by_inference": _sha256(folder / "results/inference/masks.json"),
                "by_sealed": _sha256(folder / "by_sealed.json"),
            },
            "trained": trained_figures(folder / "results/train/mal_model_latest.pth"),
        }
        (target / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def trained_figures(checkpoint: Path) -> dict[str, list[float]]:
    """Of each tensor that training has changed: mean, mean of absolute values, and the first three values."""
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    heads = {name: value for name, value in content["state_dict"].items() if "backbone" not in name}
    return {
        name: [float(value.mean()), float(value.abs().mean()), *value.flatten()[:3].tolist()]
        for name, value in heads.items()
    }


def _spec() -> dict[str, Any]:
    labelled = {"checkpoint": "results/train/mal_model_latest.pth", "ann_path": "data/boxes.json", "img_dir": "data"}
    return {
        "results_dir": "results",
        "model": TRAINED,
        "dataset": {
            "train_ann_path": "data/boxes.json",
            "train_img_dir": "data",
            "crop_size": 64,
            "min_obj_size": 100,
            "num_workers_per_gpu": 0,
        },
        "train": {
            "num_epochs": 2,
            "batch_size": 2,
            "lr": 0.01,
            "warmup_epochs": 0,
            "mask_thres": [0.9173],
            "crf_num_iter": 5,
            "use_amp": False,
            "loss_mil_step": 1,
            "loss_crf_step": 1,
        },
        "inference": {**labelled, "label_dump_path": "masks.json", "batch_size": 2, "use_flip_test": True},
        "masks": {"min_part": 0.1},
        "wandb": {"enable": False},
    }


def _make_data(folder: Path) -> None:
    """Four pictures of bright ellipses on dark, noisy ground."""
    folder.mkdir()
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:48, :64]
    images, annotations = [], []
    for image in range(1, 5):
        pixels = np.full((48, 64, 3), 40.0) + random.integers(0, 3, (48, 64, 1)) * 8
        for x, y in ((4, 6), (24, 20), (42, 8)):
            width, height = (int(side) for side in random.integers(14, 22, 2))
            inside = ((columns - x - width / 2) / width) ** 2 + ((rows - y - height / 2) / height) ** 2 < 0.25
            pixels[inside] = random.integers(120, 256, 3)
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": 1, "iscrowd": 0})
            annotations[-1]["bbox"] = [float(x), float(y), float(width), float(height)]
        name = f"{image}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name, optimize=True)
        images.append({"id": image, "file_name": name, "width": 64, "height": 48})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "boxes.json").write_text(json.dumps(document))


def _write_coarse_backbone(path: Path) -> None:
    torch.manual_seed(0)
    spec = ExperimentSpec.model_validate({"model": TRAINED})
    tensors = build_network(spec, "patch").backbone.state_dict()
    torch.save({name: _coarse(value) if value.ndim > 1 else value for name, value in tensors.items()}, path)


def _coarse(value: torch.Tensor) -> torch.Tensor:
    kept = value.abs() > value.abs().flatten().float().quantile(0.93)
    return value.sign() * kept * value.std() * 4


def _write_sealed(path: Path) -> None:
    torch.manual_seed(1)
    model = MODEL | {"arch": "timm/test_efficientnet"}
    spec = ExperimentSpec.model_validate(
        {"model": model, "dataset": {"crop_size": 64}, "train": {"mask_thres": [0.8808]}, "masks": {"fill_holes": 0.2}}
    )
    network = build_network(spec, "patch")
    with torch.no_grad():
        network.roi_head.mlp2.bias.normal_(0, 60)
    plain = path.with_name("plain.pth")
    saved = saved_spec(spec, None)
    torch.save({"state_dict": {f"student.{name}": value for name, value in network.state_dict().items()}}, plain)
    write_converted(load_checkpoint(plain), saved, path, networks="student", half=True, encryption_key=KEY)
    plain.unlink()


def _run(folder: Path, command: str, prologue: str = "") -> None:
    """A command of mal in a process; with a prologue it must end as if it were killed."""
    code = f"import os, sys\n{prologue}\nfrom mal.cli import main\nsys.exit(main(sys.argv[1:]))"
    environment: Mapping[str, str] = {**os.environ, "MAL_ENCRYPTION_KEY": KEY if "sealed" in command else ""}
    done = subprocess.run([sys.executable, "-c", code, *command.split()], cwd=folder, env=environment, check=False)
    assert done.returncode == (9 if prologue else 0), command


def _pack(folder: Path, path: Path) -> None:
    record = [*folder.rglob("run.json")]
    assert len(record) == 2
    for each in record:
        each.write_text(each.read_text().replace(str(folder), FOLDER))
    for curves in [*folder.rglob("events.out*")]:
        curves.rename(curves.with_name("events.out.tfevents.1700000000.host.1.0"))
    with tarfile.open(path, "w:xz", preset=9) as archive:
        for each in sorted(folder.iterdir()):
            if each.name != "sealed.pth":
                archive.add(each, each.name, filter=_anonymous)
    for each in record:
        each.write_text(each.read_text().replace(FOLDER, str(folder)))


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
