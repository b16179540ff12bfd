"""The network in a form that can be written as one static graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mal.models.network import FEATURE_SCALES, MaskNetwork, size_bins


class ExportGraph(nn.Module):
    """Crops and box areas to mask logits; the mean of several networks' logits where there are several.

    :class:`MaskNetwork` picks the rows of each size bin, so that its shapes depend on the values of its input. Here
    each bin is a branch that computes its scale for the whole batch and keeps its own rows, and that is skipped when
    the batch has no box of the bin. A batch of one bin costs what it costs in PyTorch.
    """

    def __init__(self, networks: Sequence[MaskNetwork]) -> None:
        super().__init__()
        self.networks = networks
        self.parts = nn.ModuleList(networks)  # so that their weights are found
        for module in self.modules():
            if hasattr(module, "fused_attn"):
                # The exporter knows fused attention in one layout only; SAM has another.
                setattr(module, "fused_attn", False)  # noqa: B010 -- not an attribute of every module

    def forward(self, images: Tensor, box_area: Tensor) -> Tensor:
        """Images (B, 3, S, S), normalised, and box areas (B,) to logits, as :meth:`MaskNetwork.forward`."""
        logits = [_logits(network, images, box_area) for network in self.networks]
        return torch.stack(logits).mean(0) if len(logits) > 1 else logits[0]


def _logits(network: MaskNetwork, images: Tensor, box_area: Tensor) -> Tensor:
    if not network.adjust_scale:
        return network(images, box_area)
    features = network.backbone(images)
    vectors = network.roi_head(features)
    size = (4 * features.shape[-2], 4 * features.shape[-1])
    bins = size_bins(box_area)
    logits = images.new_zeros(images.shape[0], 1, *size)
    for index, scale in enumerate(FEATURE_SCALES):
        logits = _with_bin(network, features, vectors, logits, bins == index, scale)
    return logits


def _with_bin(
    network: MaskNetwork, features: Tensor, vectors: Tensor, logits: Tensor, is_in_bin: Tensor, scale: float
) -> Tensor:
    size = (logits.shape[-2], logits.shape[-1])

    def at_scale(features: Tensor, vectors: Tensor, logits: Tensor, is_in_bin: Tensor) -> Tensor:
        own = network.logits_at_scale(features, vectors, scale=scale, size=size)
        return torch.where(is_in_bin[:, None, None, None], own, logits)

    def unchanged(features: Tensor, vectors: Tensor, logits: Tensor, is_in_bin: Tensor) -> Tensor:
        return logits.clone()

    return torch.cond(is_in_bin.any(), at_scale, unchanged, (features, vectors, logits, is_in_bin))
