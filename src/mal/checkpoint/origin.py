"""The origin of a checkpoint, and what its license allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mal.config.model_config import ModelConfig


@dataclass(frozen=True, slots=True)
class CheckpointOrigin:
    """Where weights come from.

    Attributes:
        name: the program or release.
        license: one sentence; a hint only, the terms that came with the file decide.
    """

    name: str
    license: str


OURS = CheckpointOrigin("mask-auto-labeler", "yours, within the terms of the weights and data that it was trained from")
NVLABS = CheckpointOrigin(
    "NVlabs/mask-auto-labeler", "CC BY-NC-SA 4.0, as its authors state for their weights: no commercial use"
)
TAO_5 = CheckpointOrigin(
    "NVIDIA TAO 5.0 to 6.0", "NVIDIA's terms for TAO models, if it was downloaded; else its owner's"
)
TAO_6 = CheckpointOrigin(
    "NVIDIA TAO 6.25 or later", "NVIDIA's terms for TAO models, if it was downloaded; else its owner's"
)
EARLIER = CheckpointOrigin("NVlabs/mask-auto-labeler or NVIDIA TAO 5.0 to 6.0", "see the terms that came with it")
MAE = CheckpointOrigin("a MAE release", "CC BY-NC 4.0, as its authors state: no commercial use")
DINO = CheckpointOrigin("a DINO release", "Apache 2.0, as its authors state")
FAN = CheckpointOrigin("a FAN release", "NVIDIA Source Code License-NC, as its authors state: no commercial use")
UNKNOWN = CheckpointOrigin("unknown", "see the terms that came with it")


def recognize_origin(
    network: Mapping[str, Tensor], model: ModelConfig, settings: Mapping[str, Any], *, whole: bool
) -> CheckpointOrigin:
    """Recognize the most likely origin of a file of another program by its content.

    Args:
        network: tensors by name, a backbone's under ``backbone.``.
        model: with the recognized fields set.
        settings: what the program saved as the settings of its run.
        whole: whether the network has heads.
    """
    arch = model.arch if "arch" in model.model_fields_set else ""
    if not whole:
        return _recognize_backbone_origin(network, arch)
    if "stem" in model.model_fields_set and model.stem == "patch":
        return TAO_6
    if isinstance(settings.get("model"), dict) or arch.startswith("fan_"):  # NVlabs has no FAN
        return TAO_5
    return NVLABS if settings else EARLIER


def _recognize_backbone_origin(network: Mapping[str, Tensor], arch: str) -> CheckpointOrigin:
    if any(name.startswith(("backbone.decoder", "backbone.mask_token")) for name in network):
        return MAE
    if any(name.startswith("backbone.head.last_layer") for name in network):
        return DINO
    return FAN if arch.startswith("fan_") else UNKNOWN
