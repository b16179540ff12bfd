"""A small trained-looking network, its checkpoint, and the checkpoint's ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mal.checkpoint.saved_spec import saved_spec
from mal.models.ema import make_teacher
from tests.small_networks import small_network, small_spec

CROP_SIZE = 64


def small_checkpoint(path: Path, stem: str = "patch", **model: Any) -> Path:
    """A checkpoint whose masks are neither empty nor whole boxes, and whose teacher differs from its student."""
    spec = small_spec(dataset={"crop_size": CROP_SIZE}, train={"mask_thres": [0.4, 0.5, 0.6]}, model=model)
    student = small_network(stem, **model)
    torch.nn.init.normal_(student.roi_head.mlp2.weight, std=30.0)
    teacher = make_teacher(student)
    torch.nn.init.normal_(teacher.roi_head.mlp2.weight, std=30.0)
    tensors = {
        f"{name}.{key}": value
        for name, network in (("student", student), ("teacher", teacher))
        for key, value in network.state_dict().items()
    }
    torch.save({"state_dict": tensors, "hyper_parameters": saved_spec(spec, student.backbone.stem)}, path)
    return path
