"""Predict mask probabilities of crops: student, teacher or both, flip, CRF refinement, profile `fast`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from mal.errors import UserError
from mal.losses import refined_mask
from mal.models.backbones.merging_vit import MergingVit
from mal.models.backbones.vit import VitBackbone
from mal.models.fpn_network import AnyMaskNetwork
from mal.models.network import MaskNetwork
from mal.models.prediction_mode import MeanFieldSettings, PredictionMode

CPUINFO = Path("/proc/cpuinfo")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def fast_network(network: AnyMaskNetwork) -> MaskNetwork:
    """A copy of a network that merges its tokens after the first quarter of its blocks.

    Raises:
        UserError: the backbone is no ViT.
    """
    if not isinstance(network.backbone, VitBackbone):
        raise UserError("profile fast: only for the vit-* architectures; this checkpoint has another, use exact")
    assert isinstance(network, MaskNetwork)
    fast = copy.deepcopy(network)
    backbone = cast(VitBackbone, fast.backbone)
    fast.backbone = MergingVit(backbone, full_blocks=max(1, len(backbone.blocks) // 4))
    return fast.to(memory_format=torch.channels_last)


def fast_dtype(device: torch.device) -> torch.dtype | None:
    """bfloat16 on a processor that multiplies it in hardware, elsewhere None: emulated it is slower than float32."""
    has_it = device.type == "cpu" and bool(_BF16_FLAGS & _processor_flags())
    return torch.bfloat16 if has_it else None


def _processor_flags() -> set[str]:
    """CPU flags of an x86 processor on Linux; empty elsewhere, where bfloat16 was not measured to pay."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    return {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}


LogitsFunction = Callable[..., Tensor]
"""A network: images, box areas, and where its ``takes_box`` is true boxes too, to logits (B, 1, h, w)."""


def predict_probs(
    student: LogitsFunction,
    teacher: LogitsFunction,
    images: Tensor,
    box_mask: Tensor,
    box_area: Tensor,
    mode: PredictionMode,
    *,
    box_input: Tensor | None = None,
) -> Tensor:
    """Foreground probabilities in the pixels of each crop.

    Args:
        student: see :data:`LogitsFunction`.
        teacher: likewise.
        images: (B, 3, S, S) float, normalized crops.
        box_mask: (B, 1, S, S), 1 inside the box.
        box_area: (B,) float, pixels of the full image.
        mode: how to predict.
        box_input: (B, 1, S, S), the boxes as networks see them, where these are not the box masks.

    Returns:
        (B, 1, S, S) float32 in 0..1; 0 outside the box. A crop with a logit that is not finite is NaN throughout, so
        that it is not mistaken for an empty mask; see `mal.models.prediction_mode.is_no_number`.
    """
    logits = predict_logits(student, teacher, images, box_area, mode, box_mask if box_input is None else box_input)
    failed = ~logits.isfinite().flatten(1).all(1)[:, None, None, None]
    if mode.crf is None:
        return _resize(logits, images.shape[-2:]).sigmoid().mul_(box_mask).masked_fill_(failed, torch.nan)
    return crf_probs(images, logits, box_mask, mode.crf).masked_fill_(failed, torch.nan)


def crf_probs(images: Tensor, logits: Tensor, box_mask: Tensor, settings: MeanFieldSettings) -> Tensor:
    """Probabilities (B, 1, S, S) float32 after refinement by the colors of each crop; arguments as above."""
    box_mask = box_mask.float()
    size = logits.shape[-2:]
    refined = refined_mask(
        _resize(images.float(), size), logits.sigmoid()[:, 0], _resize(box_mask, size)[:, 0], settings
    )
    return _resize(refined[:, None], images.shape[-2:]) * box_mask


def predict_logits(
    student: LogitsFunction,
    teacher: LogitsFunction,
    images: Tensor,
    box_area: Tensor,
    mode: PredictionMode,
    box_input: Tensor | None = None,
) -> Tensor:
    """Mask logits (B, 1, h, w) float32 of crops; arguments as of :func:`predict_probs`, no box where it is unknown."""
    networks = {"student": [student], "teacher": [teacher], "mixed": [student, teacher]}[mode.network]
    return torch.stack([_logits(network, images, box_area, box_input, mode.flip).float() for network in networks]).mean(
        0
    )


def _logits(network: LogitsFunction, images: Tensor, box_area: Tensor, box: Tensor | None, flip: bool) -> Tensor:
    boxes = (box,) if box is not None and getattr(network, "takes_box", False) else ()
    logits = network(images, box_area, *boxes)
    if not flip:
        return logits
    mirrored = network(images.flip(-1), box_area, *(each.flip(-1) for each in boxes)).flip(-1)
    return (logits + mirrored) / 2


def _resize(maps: Tensor, size: torch.Size) -> Tensor:
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
