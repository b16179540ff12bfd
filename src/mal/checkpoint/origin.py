"""Who made a checkpoint, and what its licence allows."""

from __future__ import annotations

from dataclasses import dataclass

from mal.checkpoint.fitting import held_model
from mal.checkpoint.weights import Weights


@dataclass(frozen=True, slots=True)
class Origin:
    """Where weights come from.

    Attributes:
        name: the program or release.
        licence: one sentence; a hint, for the terms that came with the file decide.
    """

    name: str
    licence: str


OURS = Origin("mask-auto-labeler", "yours, within the terms of the weights and data that it was trained from")
NVLABS = Origin(
    "NVlabs/mask-auto-labeler", "CC BY-NC-SA 4.0, as its authors state for their weights: no commercial use"
)
TAO_5 = Origin("NVIDIA TAO 5.0 to 6.0", "NVIDIA's terms for TAO models, if it was downloaded; else its owner's")
TAO_6 = Origin("NVIDIA TAO 6.25 or later", "NVIDIA's terms for TAO models, if it was downloaded; else its owner's")
EARLIER = Origin("NVlabs/mask-auto-labeler or NVIDIA TAO 5.0 to 6.0", "see the terms that came with it")
MAE = Origin("a MAE release", "CC BY-NC 4.0, as its authors state: no commercial use")
DINO = Origin("a DINO release", "Apache 2.0, as its authors state")
FAN = Origin("a FAN release", "NVIDIA Source Code License-NC, as its authors state: no commercial use")
UNKNOWN = Origin("unknown", "see the terms that came with it")


def origin_of(weights: Weights) -> Origin:
    """The most likely origin of a file, by what is in it."""
    if weights.spec:
        return OURS
    if weights.has_heads:
        return _origin_of_network(weights)
    names = weights.network("student")
    if any(name.startswith(("backbone.decoder", "backbone.mask_token")) for name in names):
        return MAE
    if any(name.startswith("backbone.head.last_layer") for name in names):
        return DINO
    return FAN if str(held_model(weights).get("arch", "")).startswith("fan_") else UNKNOWN


def _origin_of_network(weights: Weights) -> Origin:
    settings, model = weights.foreign_settings, held_model(weights)
    has_sections = isinstance(settings.get("model"), dict)
    if model.get("stem") == "patch":
        return TAO_6
    if has_sections or str(model.get("arch", "")).startswith("fan_"):  # NVlabs has no FAN
        return TAO_5
    return NVLABS if settings else EARLIER
