"""What a spec leaves open about its network, taken from the checkpoint that it names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mal.checkpoint.recognise import recognised_arch, recognised_model
from mal.checkpoint.weights import Weights
from mal.config.architectures import ARCHITECTURES, TIMM_PREFIX
from mal.config.model_config import ModelConfig
from mal.config.schema import ExperimentSpec
from mal.errors import UserError

SHAPE_FIELDS = (
    "arch",
    "stem",
    "num_blocks",
    "mask_head_num_convs",
    "mask_head_hidden_channel",
    "mask_head_out_channel",
)
# These change what a network computes, but none of its shapes.
SCALE_FIELDS = ("not_adjust_scale", "mask_scale_ratio_pre", "mask_scale_ratio")


def fitted_spec(
    spec: ExperimentSpec, weights: Weights, *, must_agree: Collection[str] = SHAPE_FIELDS
) -> ExperimentSpec:
    """The spec with the checkpoint's values in the ``model`` fields that were not given.

    Args:
        spec: as the user gave it.
        weights: of the checkpoint.
        must_agree: fields that may not contradict the checkpoint where they are given.

    Raises:
        UserError: one does.
    """
    held = held_model(weights)
    model, given = spec.model, spec.model.model_fields_set
    for key in must_agree:
        if key in given and key in held and not _agree(key, model, held):
            raise UserError(
                f"model.{key}: {getattr(model, key)} in the spec, but {weights.path} holds {held[key]};"
                " leave it out to take the checkpoint's"
            )
    taken = {key: value for key, value in held.items() if key not in given or (key == "stem" and model.stem == "auto")}
    return spec.model_copy(update={"model": model.model_copy(update=taken)})


def held_model(weights: Weights) -> dict[str, Any]:
    """The ``model`` fields that a file tells: by its spec where it is ours, else by names and shapes.

    A released backbone tells its ``arch`` alone; a file that is not recognised, nothing.
    """
    if weights.spec:
        saved = weights.spec["model"]
        return {key: saved[key] for key in (*SHAPE_FIELDS, *SCALE_FIELDS) if key in saved}
    tensors = weights.network("student")
    if not weights.has_heads:
        arch = recognised_arch(tensors)
        return {"arch": arch} if arch else {}
    recognised = recognised_model(tensors)
    return recognised | _stated_scales(weights.foreign_settings) if recognised else {}


def _stated_scales(settings: dict[str, Any]) -> dict[str, Any]:
    """The public programs keep these beside their other settings, in a section, or in one more namespace."""
    fields = ModelConfig.model_fields
    places = [settings, *(value for value in settings.values() if isinstance(value, dict))]
    stated = {key: place[key] for place in places for key in SCALE_FIELDS if key in place}
    return {key: value for key, value in stated.items() if type(value) is fields[key].annotation}


def _agree(key: str, model: ModelConfig, held: dict[str, Any]) -> bool:
    given = getattr(model, key)
    if key == "arch" and set(held) == {"arch"} and given.startswith(TIMM_PREFIX):
        return True  # timm has the released backbones under names of its own
    if key == "num_blocks" and held["arch"] in ARCHITECTURES:
        depth = ARCHITECTURES[held["arch"]].depth
        return (given or depth) == (held[key] or depth)
    return given == held[key] or (key == "stem" and "auto" in (given, held[key]))
