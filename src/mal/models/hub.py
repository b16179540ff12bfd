"""Fetch pretrained timm weights from the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass

import timm
from torch import Tensor

from mal.config.architectures import ARCHITECTURES, TIMM_PREFIX
from mal.errors import UserError
from mal.models.backbones.timm_backbone import create_timm_model

_INSTEAD = "give a file as train.pretrained_model_path"


@dataclass(frozen=True, slots=True)
class HubWeights:
    """A backbone's weights.

    Attributes:
        name: timm's name with the tag of the weights, ``vit_base_patch16_224.mae``.
        license: of the weights, as timm states it.
        tensors: by the names that a network has them under, ``backbone.`` first.
    """

    name: str
    license: str
    tensors: dict[str, Tensor]


def fetch_hub_weights(arch: str) -> HubWeights:
    """Fetch the weights for ``model.pretrained``; from the local cache if they were fetched before.

    Args:
        arch: a name that :func:`build_backbone` has accepted.

    Raises:
        UserError: the hub has no weights for it, or cannot be reached.
    """
    known = ARCHITECTURES.get(arch)
    name = known.hub_name if known else arch.removeprefix(TIMM_PREFIX)
    config = timm.get_pretrained_cfg(name) if name else None
    if name is None or config is None or not config.has_weights:
        raise UserError(f"model.pretrained: the hub has no weights for {arch}; {_INSTEAD}")
    try:
        model = create_timm_model(name, pretrained=True)
    # No network, no such file there, no permission, a damaged cache: each library on the way has errors of its own.
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise UserError(
            f"model.pretrained: the weights {name} could not be fetched from the hub ({type(error).__name__}:"
            f" {reason}); fetch them once with a network, or {_INSTEAD}"
        ) from error
    return HubWeights(
        name=f"{config.architecture}.{config.tag}" if config.tag else config.architecture,
        license=config.license or "not stated",
        tensors={f"backbone.{key}": value for key, value in model.state_dict().items()},
    )
