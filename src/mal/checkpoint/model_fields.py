"""Complete the `model` section of a spec from the network that a file holds."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from mal.config.architectures import ARCHITECTURES, TIMM_PREFIX
from mal.config.model_config import ModelConfig
from mal.config.schema import ExperimentSpec
from mal.errors import UserError

# These change what a network computes, but none of its shapes.
SCALE_FIELDS = ("not_adjust_scale", "mask_scale_ratio_pre", "mask_scale_ratio")

SHAPE_FIELDS = (
    "arch",
    "decoder",
    "stem",
    "num_blocks",
    "mask_head_num_convs",
    "mask_head_hidden_channel",
    "mask_head_out_channel",
)


def complete_spec_from_checkpoint(
    spec: ExperimentSpec, own: ExperimentSpec, path: Path, *, must_agree: Collection[str] = SHAPE_FIELDS
) -> ExperimentSpec:
    """Fill in the ``model`` fields that the user did not set from the checkpoint.

    Args:
        spec: as the user gave it.
        own: of the checkpoint, see `mal.checkpoint.load.Checkpoint`.
        path: its file.
        must_agree: fields that may not contradict the checkpoint if set.

    Raises:
        UserError: one does.
    """
    held = read_model_fields(own)
    model, given = spec.model, spec.model.model_fields_set
    for key in must_agree:
        if key in given and key in held and not _agree(key, model, held):
            raise UserError(
                f"model.{key}: {getattr(model, key)} in the spec, but {path} holds {held[key]};"
                " leave it out to take the checkpoint's"
            )
    taken = {key: value for key, value in held.items() if key not in given or (key == "stem" and model.stem == "auto")}
    return spec.model_copy(update={"model": model.model_copy(update=taken)})


def read_model_fields(held: ExperimentSpec) -> dict[str, Any]:
    """Read the ``model`` fields that are set in a checkpoint's spec."""
    known = held.model.model_fields_set
    return {key: getattr(held.model, key) for key in (*SHAPE_FIELDS, *SCALE_FIELDS) if key in known}


def _agree(key: str, model: ModelConfig, held: dict[str, Any]) -> bool:
    given = getattr(model, key)
    if key == "arch" and set(held) == {"arch"} and given.startswith(TIMM_PREFIX):
        return True  # timm has the released backbones under names of its own
    if key == "num_blocks" and held["arch"] in ARCHITECTURES:
        depth = ARCHITECTURES[held["arch"]].depth
        return (given or depth) == (held[key] or depth)
    return given == held[key] or (key == "stem" and "auto" in (given, held[key]))
