"""Labelling and evaluating the conformance cases through the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from mal.checkpoint.saved_spec import saved_spec
from mal.cli import main
from mal.config.schema import ExperimentSpec
from mal.models.backbones.vit import Stem
from tests.conformance.pack import TINY, network_of, read_json


@dataclass(frozen=True)
class Workplace:
    """Folder of the pictures, checkpoints by stem, and a place for results."""

    images: Path
    checkpoints: dict[Stem, Path]
    scratch: Path

    def run(self, task: str, expected: str, spec: dict[str, Any]) -> Path:
        """Run a task on the command line; returns its results folder."""
        folder = self.scratch / f"{task}_{expected}"
        folder.mkdir(exist_ok=True)
        spec_file = folder / "asked.yaml"
        spec_file.write_text(yaml.safe_dump(spec), encoding="utf-8")
        assert main([task, "-e", str(spec_file), f"results_dir={folder}"]) == 0
        return folder / task

    def label(self, expected: str, settings: dict[str, Any], ann_path: Path, *, load_mask: bool) -> Path:
        """Label a file with the settings of a golden case; returns the results folder."""
        inference = {
            "checkpoint": str(self.checkpoints[settings.get("stem", "patch")]),
            "ann_path": str(ann_path),
            "img_dir": str(self.images),
            "label_dump_path": "labels.json",
            "batch_size": 3,
            "load_mask": load_mask,
            "use_teacher_test": settings.get("net") == "teacher",
        }
        return self.run("inference", expected, {**common_sections(settings), "inference": inference})

    def evaluate(self, expected: str, settings: dict[str, Any], ann_path: Path) -> dict[str, Any]:
        """Evaluate on a file with masks, with the settings of a golden case; returns ``metrics.json``."""
        spec = common_sections(settings)
        spec["dataset"] |= {"val_ann_path": str(ann_path), "val_img_dir": str(self.images)}
        spec["evaluate"] = {"checkpoint": str(self.checkpoints[settings.get("stem", "patch")]), "batch_size": 3}
        metrics: dict[str, Any] = read_json(self.run("evaluate", expected, spec) / "metrics.json")
        return metrics


def common_sections(settings: dict[str, Any]) -> dict[str, Any]:
    """The sections that labelling and evaluation share."""
    return {
        "model": {"arch": settings["arch"]},
        "dataset": {"crop_size": settings["crop_size"], "num_workers_per_gpu": 0},
        "train": {"use_amp": False, "mask_thres": settings.get("train.mask_thres", [0.1])},
    }


def write_checkpoint(stem: Stem, path: Path) -> Path:
    """A checkpoint file of student and teacher, as `mal train` writes it."""
    tensors: dict[str, torch.Tensor] = {}
    for prefix in ("student.", "teacher."):
        network = network_of(TINY, stem, prefix)
        tensors |= {prefix + name: value for name, value in network.state_dict().items()}
    spec = saved_spec(ExperimentSpec.model_validate({"model": {"arch": TINY}}), stem)
    torch.save({"state_dict": tensors, "hyper_parameters": spec}, path)
    return path
