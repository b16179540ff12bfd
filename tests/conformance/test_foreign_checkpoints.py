"""Checkpoints in the three public layouts label the pack's photos with the pack's masks; the spec names no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mal.cli import main
from mal.masks.rle import rle_area
from mal.metrics.iou import mask_iou
from mal.models.backbones.vit import Stem
from tests.checkpoint.foreign_files import FOREIGN_FILES
from tests.conformance.pack import TINY, assert_within, network_of, read_json

SECTION = "foreign checkpoints"
# Each layout, its stem, and the golden file; of the conv stem those whose masks do not fill their boxes.
CASES: list[tuple[str, Stem, str]] = [
    ("nvlabs", "conv", "convstem_vit-deit-tiny-16_256_thr999"),
    ("tao_5", "conv", "convstem_vit-deit-tiny-16_256_thr9999"),
    ("tao_6", "patch", "vit-deit-tiny-16_256"),
    ("tao_6", "patch", "vit-deit-tiny-16_256_teacher"),
]
MIN_IOU = 0.99


@pytest.mark.parametrize(("layout", "stem", "expected"), CASES)
def test_a_checkpoint_of_a_public_program_gives_the_masks_of_that_program(cases, tmp_path, layout, stem, expected):
    golden = read_json(cases.folder / f"11_end_to_end/expected_{expected}.json")
    checkpoint = FOREIGN_FILES[layout](_tensors(stem), tmp_path / "public.ckpt")
    labels = _label(cases.folder / "11_end_to_end", checkpoint, golden["settings"], tmp_path)
    assert [record["id"] for record in labels] == [record["id"] for record in golden["annotations"]]
    pairs = [
        (ours["segmentation"], theirs["segmentation"])
        for ours, theirs in zip(labels, golden["annotations"], strict=True)
    ]
    differing = [(ours, theirs) for ours, theirs in pairs if ours["counts"] != theirs["counts"]]
    assert_within(SECTION, f"{layout}: masks not byte-equal, of {len(pairs)} ({expected})", len(differing), 2, "masks")
    for ours, theirs in differing:
        assert rle_area(theirs), "an empty mask has no pixel that noise could flip"
        assert_within(SECTION, f"{layout}: 1 - IoU of a mask", 1 - mask_iou(ours, theirs), 1 - MIN_IOU)


def _tensors(stem: Stem) -> dict[str, Any]:
    return {
        prefix + name: value
        for prefix in ("student.", "teacher.")
        for name, value in network_of(TINY, stem, prefix).state_dict().items()
    }


def _label(data: Path, checkpoint: Path, settings: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Through the command line, with a spec that does not say which network it is."""
    spec = {
        "results_dir": str(folder),
        "dataset": {"crop_size": settings["crop_size"], "num_workers_per_gpu": 0},
        "train": {"use_amp": False, "mask_thres": settings.get("train.mask_thres", [0.1])},
        "inference": {
            "checkpoint": str(checkpoint),
            "ann_path": str(data / "input.json"),
            "img_dir": str(data / "images"),
            "label_dump_path": "labels.json",
            "batch_size": 3,
            "use_teacher_test": settings.get("net") == "teacher",
        },
    }
    (folder / "asked.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    assert main(["inference", "-e", str(folder / "asked.yaml")]) == 0
    assert yaml.safe_load((folder / "inference/spec.yaml").read_text())["model"]["arch"] == TINY
    return read_json(folder / "inference/labels.json")["annotations"]
