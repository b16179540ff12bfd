"""What a spec leaves open about its network, taken from the checkpoint that it names."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from mal.checkpoint.recognise import SCALE_FIELDS
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


def fitted_spec(
    spec: ExperimentSpec, own: ExperimentSpec, path: Path, *, must_agree: Collection[str] = SHAPE_FIELDS
) -> ExperimentSpec:
    """The spec with the checkpoint's values in the ``model`` fields that were not given.

    Args:
        spec: as the user gave it.
        own: of the checkpoint, see `mal.checkpoint.load.Checkpoint`.
        path: its file.
        must_agree: fields that may not contradict the checkpoint where they are given.

    Raises:
        UserError: one does.
    """
    held = held_model(own)
    model, given = spec.model, spec.model.model_fields_set
    for key in must_agree:
        if key in given and key in held and not _agree(key, model, held):
            raise UserError(
                f"model.{key}: {getattr(model, key)} in the spec, but {path} holds {held[key]};"
                " leave it out to take the checkpoint's"
            )
    taken = {key: value for key, value in held.items() if key not in given or (key == "stem" and model.stem == "auto")}
    return spec.model_copy(update={"model": model.model_copy(update=taken)})


def held_model(held: ExperimentSpec) -> dict[str, Any]:
    """The ``model`` fields that a checkpoint's spec tells about its network."""
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
