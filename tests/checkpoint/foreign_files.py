"""Checkpoint files as other programs write them, with their objects inside."""

from __future__ import annotations

import argparse
import pathlib
import sys
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import field, make_dataclass
from typing import Any, Optional

import torch
from omegaconf import OmegaConf
from torch import Tensor

Tensors = dict[str, Tensor]
TAO_MODULE = "nvidia_tao_pytorch.cv.mal.config.default_config"


# What TAO's class of the model section is like; made by a call, for OmegaConf must find types and no texts in it.
TaoModel = make_dataclass(
    "TaoModel",
    [
        ("arch", str, "vit-mae-base/16"),
        ("frozen_stages", list[int], field(default_factory=lambda: [-1])),
        ("mask_scale_ratio_pre", int, 1),
        ("not_adjust_scale", bool, False),
        ("note", Optional[str], None),  # noqa: UP045 -- pickled by another way than `str | None`
    ],
)


def nvlabs_file(tensors: Tensors, path: pathlib.Path, **arguments: Any) -> pathlib.Path:
    """NVlabs/mask-auto-labeler: Lightning 1.x with argparse's namespace, a class as a callback's key, an optimiser."""
    namespace = argparse.Namespace(crop_size=512, lr=1e-6, data_dir=pathlib.Path("/data"), **arguments)
    torch.save(
        {
            "epoch": 9,
            "global_step": 1234,
            "pytorch-lightning_version": "1.6.5",
            "state_dict": OrderedDict(tensors),
            "callbacks": {foreign_class("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"): {}},
            "optimizer_states": [{"state": defaultdict(dict), "param_groups": []}],
            "hparams_name": "args",
            "hyper_parameters": namespace,
        },
        path,
    )
    return path


def tao_5_file(tensors: Tensors, path: pathlib.Path) -> pathlib.Path:
    """TAO 5.x: the spec as OmegaConf containers with the classes of its schema, and a watched score."""
    sections = {
        "model": OmegaConf.structured(in_module(TaoModel, TAO_MODULE)),
        "train": {"mask_thres": [0.1], "lr": "${base_lr}"},
        "base_lr": 1e-6,
    }
    callbacks = {"ModelCheckpoint{}": {"monitor": "val_mIoU", "current_score": torch.tensor(0.5)}}
    torch.save(
        {
            "epoch": 4,
            "global_step": 77,
            "state_dict": tensors,
            "callbacks": callbacks,
            "hyper_parameters": OmegaConf.create(sections),
        },
        path,
    )
    return path


def tao_6_file(tensors: Tensors, path: pathlib.Path) -> pathlib.Path:
    """TAO 6.25: the networks of a compiled, wrapped module, and a plain dict of settings."""
    settings = {"model": {"arch": "vit-mae-base/16", "mask_scale_ratio_pre": 1}, "dataset": {"crop_size": 512}}
    wrapped = {f"model.{name}": value for name, value in tensors.items()}
    torch.save({"epoch": 0, "global_step": 5, "state_dict": wrapped, "hyper_parameters": settings}, path)
    return path


FOREIGN_FILES: dict[str, Callable[[Tensors, pathlib.Path], pathlib.Path]] = {
    "nvlabs": nvlabs_file,
    "tao_5": tao_5_file,
    "tao_6": tao_6_file,
}


def whole(network: torch.nn.Module) -> Tensors:
    """A network's tensors as student and teacher."""
    return {f"{prefix}.{name}": v for prefix in ("student", "teacher") for name, v in network.state_dict().items()}


def foreign_class(module: str, name: str, **members: Any) -> type:
    """A class as if it came from another package."""
    return in_module(type(name, (), members), module)


def in_module(cls: type, module: str) -> type:
    """Make a class look as if it came from a module, which pickle wants to find."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
    cls.__module__ = module
    setattr(sys.modules[module], cls.__name__, cls)
    return cls
