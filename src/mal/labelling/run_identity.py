"""What decides the masks of a labelling run; a run that was stopped may only go on with the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mal.config.catalog import FieldEntry, field_by_key, spec_fields
from mal.config.schema import ExperimentSpec

Identity = Mapping[str, Any]
"""JSON values by name."""

# What inference reads and what yet leaves the masks as they are: names of things, places, and who does the work.
_OTHER_FIELDS = {
    "model_name",
    "encryption_key",
    "results_dir",
    "strategy",
    "dataset.num_workers_per_gpu",
    "dataset.max_megapixels",
    "inference.num_gpus",
    "inference.gpu_ids",
    "inference.num_nodes",
    "inference.engine",
    "inference.ray_actors",
    "inference.shards_url",
    "inference.checkpoint",
    "inference.results_dir",
    "inference.ann_path",
    "inference.img_dir",
    "inference.label_dump_path",
    "inference.min_score",
    "inference.report",
}
SAME_MASKS_SINCE = "0.1"
"""The first version of mal that makes, of the same settings, the masks of this one: to be raised when masks change."""
MASKS_VERSION = "the version that masks are made as by"
_CONTENT = "the content of "
_READ_BYTES = 2**20


def run_identity(checkpoint: Path, annotations: Path, images: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What to compare between two attempts.

    Args:
        checkpoint, annotations: files, known by their content.
        images: folder of the images, known by its place.
        settings: all else that changes the masks, as JSON values.
    """
    return {
        MASKS_VERSION: SAME_MASKS_SINCE,
        f"{_CONTENT}the checkpoint": sha256(checkpoint),
        f"{_CONTENT}the annotation file": sha256(annotations),
        "the image folder": str(images.absolute()),
        **settings,
    }


def spec_settings(spec: ExperimentSpec) -> dict[str, Any]:
    """Every field that changes the masks of a run, by its dotted key.

    Args:
        spec: complete, see `mal.config.precedence.effective_spec`.
    """
    values = spec.model_dump(mode="json")
    return {
        entry.key: _identifying(spec, entry.key, _value(values, entry.key))
        for entry in spec_fields()
        if _decides(entry)
    }


def _decides(entry: FieldEntry) -> bool:
    """Of the network, all but its scales is decided by the checkpoint, whose content is compared."""
    if entry.section == "model":
        return entry.from_checkpoint
    return "inference" in entry.tasks and entry.key not in _OTHER_FIELDS


def _identifying(spec: ExperimentSpec, key: str, value: Any) -> Any:
    """The value; of one that came from the environment, which is not to be kept, a digest."""
    if not any(written.partition("[")[0] == key for written in spec.references):
        return value
    return "sha256 " + hashlib.sha256(json.dumps(value).encode()).hexdigest()


def changes(before: Identity, now: Identity) -> list[str]:
    """What differs, each in a few words.

    A field of the spec that one of them lacks, since the version that wrote it did not know it, counts as its default.
    """
    names = [name for name in {**before, **now} if (entry := field_by_key().get(name)) is None or _decides(entry)]
    pairs = {name: (_setting(before, name), _setting(now, name)) for name in names}
    return [_change(name, *pair) for name, pair in pairs.items() if pair[0] != pair[1]]


def _setting(identity: Identity, name: str) -> Any:
    entry = field_by_key().get(name)
    return identity.get(name, entry.default if entry else None)


def _change(name: str, before: Any, now: Any) -> str:
    return name if name.startswith(_CONTENT) else f"{name} (it was {before}, now it is {now})"


def _value(values: Any, key: str) -> Any:
    for name in key.split("."):
        values = values[name]
    return values


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()
