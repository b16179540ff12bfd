"""Networks that are small enough for a unit test."""

from __future__ import annotations

from typing import Any

import torch

from mal.config.schema import ExperimentSpec
from mal.models.backbones.registry import build_backbone
from mal.models.fpn_network import FpnNetwork
from mal.models.from_spec import build_network
from mal.models.network import MaskNetwork


def small_spec(**sections: dict[str, Any]) -> ExperimentSpec:
    """A spec of a tiny ViT with one block and thin heads; ``sections`` add to it."""
    model = {"arch": "vit-deit-tiny/16", "num_blocks": 1, "mask_head_hidden_channel": 8, "mask_head_out_channel": 8}
    sections["model"] = model | sections.get("model", {})
    return ExperimentSpec.model_validate(sections)


def small_network(stem: str = "patch", **model: Any) -> MaskNetwork:
    """The network of `small_spec`, with the same random weights every time."""
    torch.manual_seed(0)
    return build_network(small_spec(model=model), stem)


def small_fpn_network(**model: Any) -> FpnNetwork:
    """A pyramid on a tiny network with strides, with the same random weights every time."""
    torch.manual_seed(0)
    network = build_network(small_fpn_spec(model=model), "patch")
    assert isinstance(network, FpnNetwork)
    return network


def small_fpn_spec(**sections: dict[str, Any]) -> ExperimentSpec:
    """The spec of `small_fpn_network`; ``sections`` add to it."""
    model = {"arch": "timm/test_efficientnet", "num_blocks": None, "decoder": "fpn"}
    return small_spec(**(sections | {"model": model | sections.get("model", {})}))


def small_backbone(**options: Any) -> torch.nn.Module:
    """A ViT-tiny of one block."""
    torch.manual_seed(0)
    return build_backbone("vit-deit-tiny/16", **({"num_blocks": 1} | options))
