"""Half-finished runs of version 0.1, which go on with the settings that they began with.

That version recorded the options of `mal label` in place of fields of the spec, and `mal inference` took nothing but
the network from its checkpoint.
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
    """What a half-finished run of version 0.1 was told, by dotted key; empty for other runs, or where there is none.

    Args:
        record: the file that says which run the shards belong to.
    """
    identity = _content(record).get("identity", {})
    if EARLY_VERSION not in identity:
        return {}
    if _NETWORK in identity:
        return _of_options(identity)
    # Of the network it recorded what the spec said, not what was in the checkpoint and counted.
    return {key: value for key, value in identity.items() if key in field_by_key() and not key.startswith("model.")}


def rewrite_early_record(record: Path, settings: Mapping[str, Any]) -> None:
    """Write the record of such a run as this version does.

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
        del told["masks.within_box"]  # an option that was not given left this to the checkpoint
    network = identity[_NETWORK]
    choice = {"inference.use_mixed_model_test": network == "mixed", "inference.use_teacher_test": network == "teacher"}
    return {**told, **choice}


def _content(record: Path) -> dict[str, Any]:
    """Empty for a damaged file, which is named when the run is opened."""
    try:
        content = json.loads(record.read_bytes()) if record.is_file() else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
