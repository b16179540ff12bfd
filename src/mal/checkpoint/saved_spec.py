"""Save the spec in a checkpoint, and read it back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mal.config.catalog import field_by_key, spec_fields
from mal.config.load import stored_values
from mal.config.schema import ExperimentSpec
from mal.errors import UserError

_PLACE = re.compile(r"(_path|_dir|\.checkpoint)$")  # of fields that name a file or a folder
_FREE_TO_CHANGE = ("teacher_momentum", "vit_dpr", "pretrained", "activation_checkpoint", "batch_norm")
_BEFORE_IT_WAS_A_FIELD = {"decoder": "mal"}


def saved_spec(spec: ExperimentSpec, stem: str | None) -> dict[str, Any]:
    """Convert a spec to plain values without secrets; an automatic stem becomes the one that was built.

    Text from environment variables is saved as a reference. Numbers, choices and the fields that define the network are
    saved as values, because a reference would not be valid when the checkpoint is read.
    """
    values = stored_values(spec, is_stored=_is_free_text)
    if stem is not None:
        values["model"]["stem"] = stem
    return values


def spec_to_share(spec: ExperimentSpec, stem: str | None) -> dict[str, Any]:
    """As :func:`saved_spec`, without the files and folders of the training, for a file that is handed on."""
    values, defaults = saved_spec(spec, stem), saved_spec(ExperimentSpec(), None)
    for field in spec_fields():
        if _PLACE.search(field.key):
            *sections, name = field.key.split(".")
            _section(values, sections)[name] = _section(defaults, sections)[name]
    return values


def _section(values: dict[str, Any], names: list[str]) -> dict[str, Any]:
    for name in names:
        values = values[name]
    return values


def _is_free_text(key: str, value: Any) -> bool:
    if not isinstance(value, str) or key.startswith("model."):
        return False
    rule = field_by_key()[key.partition("[")[0]].rule
    rule = rule["items"] if "[" in key else rule
    return bool(rule["type"] == "string") and not {"enum", "const"} & rule.keys()


def spec_from_saved(values: Mapping[str, Any], path: Path) -> ExperimentSpec:
    """The spec that a checkpoint was trained with.

    Raises:
        UserError: the checkpoint holds none, or one that this version does not understand.
    """
    if not values:
        raise UserError(f"{path}: holds weights, but not the spec that tells which network they belong to")
    try:
        return ExperimentSpec.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: its spec does not fit this version of mal ({key}: {first['msg']})") from error


def require_same_model(saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Check that a checkpoint matches the network and the optimizer that load it.

    Raises:
        UserError: a field of the ``model`` section differs that decides the network's shape, or the backbone has a
            learning rate of its own in one of the two runs only.
    """
    model = _BEFORE_IT_WAS_A_FIELD | saved.get("model", {})
    for key, value in current["model"].items():
        if key in model and key not in _FREE_TO_CHANGE and model[key] != value:
            raise UserError(
                f"model.{key}: {value} now, {model[key]} in the checkpoint to resume from; keep the model section"
                " as it was, or choose a new results_dir to start afresh"
            )
    share, share_held = (values.get("train", {}).get("backbone_lr_rate", 1.0) for values in (current, saved))
    if (share == 1) != (share_held == 1):
        raise UserError(
            f"train.backbone_lr_rate: {share:g} now, {share_held:g} in the checkpoint to resume from; a run cannot"
            " change between one learning rate and two: keep it, or choose a new results_dir to start afresh"
        )
