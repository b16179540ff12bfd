"""A small trained-looking network, its checkpoint, and the checkpoint's ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mal.checkpoint.saved_spec import saved_spec
from mal.config.schema import ExperimentSpec
from mal.models.ema import make_teacher
from mal.models.fpn_network import AnyMaskNetwork
from tests.small_networks import small_fpn_network, small_fpn_spec, small_network, small_spec

CROP_SIZE = 64


def small_checkpoint(path: Path, stem: str = "patch", **model: Any) -> Path:
    """A checkpoint whose masks are neither empty nor whole boxes, and whose teacher differs from its student."""
    spec = small_spec(dataset={"crop_size": CROP_SIZE}, train={"mask_thres": [0.4, 0.5, 0.6]}, model=model)
    student = small_network(stem, **model)
    torch.nn.init.normal_(student.roi_head.mlp2.weight, std=30.0)
    teacher = make_teacher(student)
    torch.nn.init.normal_(teacher.roi_head.mlp2.weight, std=30.0)
    return _saved(student, teacher, spec, path)


def small_fpn_checkpoint(path: Path) -> Path:
    """The same with the decoder fpn."""
    spec = small_fpn_spec(dataset={"crop_size": CROP_SIZE}, train={"mask_thres": [0.5]})
    student = small_fpn_network()
    teacher = make_teacher(student)
    for network in (student, teacher):
        torch.nn.init.normal_(network.fpn.mask[-1].weight, std=1.0)
    return _saved(student, teacher, spec, path)


def _saved(student: AnyMaskNetwork, teacher: AnyMaskNetwork, spec: ExperimentSpec, path: Path) -> Path:
    tensors = {
        f"{name}.{key}": value
        for name, network in (("student", student), ("teacher", teacher))
        for key, value in network.state_dict().items()
    }
    torch.save({"state_dict": tensors, "hyper_parameters": saved_spec(spec, student.backbone.stem)}, path)
    return path
