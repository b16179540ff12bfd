"""Half-finished runs of version 0.1, resumed with their own settings.

Version 0.1 recorded the options of `mal label` instead of spec fields, and its `mal inference` took only the network
from the checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mal.config.catalog import field_by_key
from mal.files import write_json
from mal.labeling.run import MASKS_VERSION

EARLY_VERSION = "the version of mal"
_FIELDS = {
    "--threshold": "train.mask_thres",
    "--min-part": "masks.min_part",
    "--fill-holes": "masks.fill_holes",
    "--allow-outside": "masks.allow_outside",
    "--within-box": "masks.within_box",
    "--no-overlap": "masks.no_overlap",
    "--score": "inference.score",
    "--flip": "inference.use_flip_test",
    "--crf": "inference.use_crf_test",
    "--profile": "inference.profile",
    "--batch-size": "inference.batch_size",
    "--keep-existing-masks": "inference.keep_existing_masks",
}
_NETWORK = "--network"


def early_settings(record: Path) -> dict[str, Any]:
    """Read the settings of a half-finished run of version 0.1, by dotted key; empty for other runs or if there is none.

    Args:
        record: the file that identifies the run of the shards.
    """
    identity = _content(record).get("identity", {})
    if EARLY_VERSION not in identity:
        return {}
    if _NETWORK in identity:
        return _of_options(identity)
    # It recorded the spec's network fields, although the checkpoint's were used.
    return {key: value for key, value in identity.items() if key in field_by_key() and not key.startswith("model.")}


def rewrite_early_record(record: Path, settings: Mapping[str, Any]) -> None:
    """Rewrite the record of such a run in today's format.

    Args:
        record: as above.
        settings: the run's complete settings, see `mal.labeling.run.spec_settings`.
    """
    content = _content(record)
    kept = {
        key: value
        for key, value in content["identity"].items()
        if key not in field_by_key() and not key.startswith("--") and key != EARLY_VERSION
    }
    identity = {MASKS_VERSION: content["identity"][EARLY_VERSION], **kept, **settings}
    write_json({**content, "identity": identity}, record)


def _of_options(identity: Mapping[str, Any]) -> dict[str, Any]:
    told = {_FIELDS[name]: value for name, value in identity.items() if name in _FIELDS and value is not None}
    if isinstance(told.get("train.mask_thres"), float):
        told["train.mask_thres"] = [told["train.mask_thres"]]
    if not told["masks.within_box"]:
        del told["masks.within_box"]  # if the option was not given, the checkpoint decided
    network = identity[_NETWORK]
    choice = {"inference.use_mixed_model_test": network == "mixed", "inference.use_teacher_test": network == "teacher"}
    return {**told, **choice}


def _content(record: Path) -> dict[str, Any]:
    """The record's values; empty for a damaged file, which is reported when the run is opened."""
    try:
        content = json.loads(record.read_bytes()) if record.is_file() else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
