"""Recognize the network that weights belong to, by names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from torch import Tensor

from mal.checkpoint.model_fields import SCALE_FIELDS
from mal.config.architectures import ARCHITECTURES
from mal.config.model_config import ModelConfig
from mal.config.schema import ExperimentSpec
from mal.models.backbones.fan import FAN_SIZES
from mal.models.backbones.vit import VIT_SIZES

FPN_PREFIX = "fpn."  # of the tensors of `mal.models.fpn_network.FpnDecoder`


def recognized_spec(tensors: Mapping[str, Tensor], settings: Mapping[str, Any], *, whole: bool) -> ExperimentSpec:
    """Make a spec with only the ``model`` fields that can be recognized in a file of another program.

    Args:
        tensors: of one network, the backbone's under ``backbone.``.
        settings: what that program saved as the settings of its run.
        whole: whether the network has heads.
    """
    if whole:
        found = recognized_model(tensors)
        found |= _stated_scales(settings) if found else {}
    else:
        arch = recognized_arch(tensors)
        found = {"arch": arch} if arch else {}
    return ExperimentSpec().model_copy(update={"model": ModelConfig().model_copy(update=found)})


def recognized_arch(tensors: Mapping[str, Tensor]) -> str | None:
    """Recognize the backbone; returns its name in ``model.arch``, None if it has none.

    Args:
        tensors: of one network, the backbone's under ``backbone.``.
    """
    class_token = tensors.get("backbone.cls_token")
    if class_token is None:
        return None
    width, depth = class_token.shape[-1], _count(tensors, "backbone.blocks.")
    if "backbone.pos_embed.token_projection.weight" in tensors:
        is_hybrid = any(name.startswith("backbone.patch_embed.backbone.") for name in tensors)
        sizes = [
            name
            for name, size in FAN_SIZES.items()
            if size.embed_dim == width and (size.hybrid_depths is not None) == is_hybrid
        ]
    else:
        sizes = [name for name, size in VIT_SIZES.items() if size.embed_dim == width and _is_plain_vit(tensors)]
    return next((name for name in sizes if 0 < depth <= ARCHITECTURES[name].depth and _patch_fits(name, tensors)), None)


def recognized_model(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Recognize the ``model`` fields from names and shapes of tensors; empty for an unknown backbone.

    Args:
        tensors: of one network, heads included.
    """
    arch, num_convs = recognized_arch(tensors), _count(tensors, "mask_head.convs.")
    if arch is None or not num_convs or "roi_head.mlp1.weight" not in tensors:
        return {}
    depth = _count(tensors, "backbone.blocks.")
    first, last = (tensors[f"mask_head.convs.{index}.conv.weight"] for index in (0, num_convs - 1))
    model: dict[str, Any] = {
        "arch": arch,
        "num_blocks": None if depth == ARCHITECTURES[arch].depth else depth,
        "mask_head_num_convs": num_convs,
        "mask_head_out_channel": last.shape[0],
    }
    if num_convs > 1:
        model["mask_head_hidden_channel"] = first.shape[0]
    if arch in VIT_SIZES:
        model["stem"] = "patch" if "backbone.patch_embed.proj.weight" in tensors else "conv"
    return model


def recognized_decoder(tensors: Mapping[str, Tensor]) -> Literal["mal", "fpn"]:
    """Recognize the decoder of a whole network by the names of its tensors."""
    return "fpn" if any(name.startswith(FPN_PREFIX) for name in tensors) else "mal"


def with_decoder(spec: ExperimentSpec, decoder: Literal["mal", "fpn"]) -> ExperimentSpec:
    """The spec with a decoder set."""
    return spec.model_copy(update={"model": spec.model.model_copy(update={"decoder": decoder})})


def _stated_scales(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read the scale fields; public programs keep them at the top, in a section, or in a nested namespace."""
    fields = ModelConfig.model_fields
    places = [settings, *(value for value in settings.values() if isinstance(value, dict))]
    stated = {key: place[key] for place in places for key in SCALE_FIELDS if key in place}
    return {key: value for key, value in stated.items() if type(value) is fields[key].annotation}


def _count(names: Iterable[str], prefix: str) -> int:
    """Number of modules in a module list."""
    found = (re.match(r"\d+", name.removeprefix(prefix)) for name in names if name.startswith(prefix))
    return max((int(index[0]) + 1 for index in found if index), default=0)


def _is_plain_vit(tensors: Mapping[str, Tensor]) -> bool:
    """Whether it is a plain ViT, without scaled branches and register tokens."""
    return "backbone.blocks.0.attn.qkv.bias" in tensors and "backbone.blocks.0.ls1.gamma" not in tensors


def _patch_fits(arch: str, tensors: Mapping[str, Tensor]) -> bool:
    projection = tensors.get("backbone.patch_embed.proj.weight")
    return arch in FAN_SIZES or projection is None or projection.shape[-1] == VIT_SIZES[arch].patch_size
