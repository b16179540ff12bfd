"""The ``fast`` profile: nearly the same masks with less arithmetic. docs/performance.md has the study behind it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import torch

from mal.errors import UserError
from mal.models.backbones.merging_vit import MergingVit
from mal.models.backbones.vit import VitBackbone
from mal.models.network import MaskNetwork

CPUINFO = Path("/proc/cpuinfo")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def fast_network(network: MaskNetwork) -> MaskNetwork:
    """A copy of a network that merges its tokens after the first quarter of its blocks.

    Raises:
        UserError: the backbone is no ViT.
    """
    if not isinstance(network.backbone, VitBackbone):
        raise UserError("profile fast: only for the vit-* architectures; this checkpoint has another, use exact")
    fast = copy.deepcopy(network)
    backbone = cast(VitBackbone, fast.backbone)
    fast.backbone = MergingVit(backbone, full_blocks=max(1, len(backbone.blocks) // 4))
    return fast.to(memory_format=torch.channels_last)


def fast_dtype(device: torch.device) -> torch.dtype | None:
    """bfloat16 on a processor that multiplies it in hardware, elsewhere None: emulated it is slower than float32."""
    has_it = device.type == "cpu" and bool(_BF16_FLAGS & _processor_flags())
    return torch.bfloat16 if has_it else None


def _processor_flags() -> set[str]:
    """What Linux says of an x86 processor; nothing elsewhere, where no measurement tells that bfloat16 pays."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    return {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}
