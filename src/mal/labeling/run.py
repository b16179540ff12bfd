"""A labeling run: its identity, and whether it starts, resumes, is refused or is finished."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mal.config.catalog import FieldEntry, field_by_key, spec_fields
from mal.config.schema import ExperimentSpec
from mal.errors import UserError
from mal.export.onnx_network import ONNX_SUFFIX
from mal.files import sha256, write_json
from mal.labeling.shards import SUFFIX, parse_box_result, shard_paths, whole_batches

Identity = Mapping[str, Any]
"""JSON values by name."""

# Fields that inference reads but that do not change masks: names, paths, devices.
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
    "inference.ann_format",
    "inference.label_dump_path",
    "inference.min_score",
    "inference.report",
}
SAME_MASKS_SINCE = "0.1"
"""The first version of mal whose masks, with the same settings, equal today's; raise it when masks change."""
SAME_MASKS_OF_EXPORTS_SINCE = "0.2"
"""The same for exported networks: what NumPy makes of their logits differs in the last digits from PyTorch's before."""
MASKS_VERSION = "the version that masks are made as by"
_CONTENT = "the content of "


def run_identity(checkpoint: Path, annotations: Path, images: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Build the values that two attempts must share.

    Args:
        checkpoint, annotations: files, identified by their content.
        images: folder of the images, identified by its path.
        settings: everything else that changes the masks, as JSON values.
    """
    return {
        MASKS_VERSION: SAME_MASKS_OF_EXPORTS_SINCE if checkpoint.suffix == ONNX_SUFFIX else SAME_MASKS_SINCE,
        f"{_CONTENT}the checkpoint": sha256(checkpoint),
        f"{_CONTENT}the annotation file": sha256(annotations),
        "the image folder": str(images.absolute()),
        **settings,
    }


def spec_settings(spec: ExperimentSpec) -> dict[str, Any]:
    """All fields that change the masks of a run, by dotted key.

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
    """Whether a field counts; network fields other than scales do not, since the checkpoint's content is compared."""
    if entry.section == "model":
        return entry.from_checkpoint
    return "inference" in entry.tasks and entry.key not in _OTHER_FIELDS


def _identifying(spec: ExperimentSpec, key: str, value: Any) -> Any:
    """The value; a digest if it came from the environment and must not be stored."""
    if not any(written.partition("[")[0] == key for written in spec.references):
        return value
    return "sha256 " + hashlib.sha256(json.dumps(value).encode()).hexdigest()


def changes(before: Identity, now: Identity) -> list[str]:
    """Describe the differences, each in a few words.

    A spec field that one of them lacks, because an older version wrote it, counts as its default.
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


RUN_KEY = "run"
_LABEL_FILE_KEY = "sha256 of the label file"


def finished_run(identity: Identity, output: Path) -> dict[str, Any]:
    """The values that mark a run without failures as finished in its report, as JSON values.

    Args:
        identity: everything that decides the label file.
        output: the label file, complete.
    """
    return {"identity": dict(identity), _LABEL_FILE_KEY: sha256(output)}


def is_finished(report: Path, identity: Identity, output: Path) -> bool:
    """Whether a report belongs to this label file and to a finished run of this identity."""
    try:
        run = json.loads(report.read_bytes())[RUN_KEY]
        is_this_one = output.is_file() and not changes(run["identity"], identity)
        return is_this_one and bool(run[_LABEL_FILE_KEY] == sha256(output))
    # No report, another one, or one of an earlier version.
    except (OSError, UserError, ValueError, KeyError, TypeError):
        return False


RECORD_NAME = "run.json"
RESOLVED_NAME = "resolved"


@dataclass(frozen=True, slots=True)
class LabelRun:
    """A run in progress.

    Attributes:
        folder: holds the shards and the file that identifies their run.
        attempt: 1 for the first; shards of later attempts sort after earlier ones.
    """

    folder: Path
    attempt: int

    def new_shard(self, worker: str) -> Path:
        """The path of a worker's shard; worker names are unique within an attempt."""
        return self.folder / f"{self.attempt:04d}_{worker}{SUFFIX}"

    @property
    def record(self) -> Path:
        """The file that identifies the run of the shards."""
        return self.folder / RECORD_NAME

    @property
    def shards(self) -> list[Path]:
        """All existing shards, older ones first."""
        return [path for path in shard_paths(self.folder) if path != self.resolved_shard]

    @property
    def resolved_shard(self) -> Path:
        """The shard for labels changed after all boxes were labeled; rewritten each time."""
        return self.folder / f"{RESOLVED_NAME}{SUFFIX}"

    def finish(self) -> None:
        """Remove the shards once the output is complete.

        After a kill in between, the run counts as finished and the next attempt removes the rest.
        """
        write_json({**_read(self.record), "finished": True}, self.record)
        _remove(self.folder)


def open_run(
    folder: Path,
    identity: Identity,
    output: Path,
    *,
    overwrite: bool = False,
    restart: bool = False,
    is_finished: Callable[[], bool] = lambda: False,
) -> LabelRun | None:
    """Start a run, or resume the one in the folder. Call it in one process only.

    A run's identity counts from its first label; until then another run may replace it.

    Args:
        folder: folder of the shards; created if needed.
        identity: everything that decides the masks, see `mal.labeling.run.run_identity`.
        output: the label file to write at the end.
        overwrite: whether a finished output may be replaced.
        restart: whether to discard the results of an unfinished run.
        is_finished: whether the output belongs to this identity; called if the folder holds no run.

    Returns:
        The run; None if it is finished, and then its remaining shards are removed.

    Raises:
        UserError: the output exists already, the folder holds an unfinished run with another identity, or the folder
            cannot be written.
    """
    before = _read(folder / RECORD_NAME)
    if before.get("finished"):
        is_this_one = not changes(before["identity"], identity) and before["output"] == str(output.absolute())
        _remove(folder)
        if is_this_one and output.exists() and not (overwrite or restart):
            return None
        before = {}
    if not (before or overwrite or restart) and is_finished():
        return None
    differing = changes(before["identity"], identity) if before and not restart else []
    begins_anew = restart or (bool(differing) and not _has_label(folder))
    if differing and not begins_anew:
        raise UserError(
            f"{folder}: holds an unfinished run, and since it began {', '.join(differing)} changed: set that back to go"
            " on, or throw the run's labels away and begin anew with --restart"
        )
    may_write = overwrite or before.get("output") == str(output.absolute())
    if output.exists() and not may_write:
        raise UserError(f"{output} exists already: replace it with --overwrite, or give the label file another name")
    if begins_anew or not before:
        _remove(folder)
    write_json({"output": str(output.absolute()), "identity": dict(identity)}, folder / RECORD_NAME)
    return LabelRun(folder, 1 + max((_attempt(path) for path in shard_paths(folder)), default=0))


def _has_label(folder: Path) -> bool:
    batches = (batch for path in shard_paths(folder) for batch in whole_batches(path))
    return any(parse_box_result(line).label is not None for batch in batches for _, line in batch)


def _attempt(shard: Path) -> int:
    number = shard.name.partition("_")[0]
    return int(number) if number.isdecimal() else 0


def _read(record: Path) -> dict[str, Any]:
    """The values written when the run began; empty if there is no run."""
    if not record.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(record.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{record} cannot be read ({error}): remove {record.parent} to begin anew") from error
    return content


def _remove(folder: Path) -> None:
    """Remove a run, its record last, so that no shard is ever attributed to another run."""
    for path in [*shard_paths(folder), folder / RECORD_NAME]:
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
