"""A labelling run that may take several attempts: how it is begun, gone on with, refused and ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mal.data.json_out import write_json
from mal.errors import UserError
from mal.labelling.run_identity import Identity, changes
from mal.labelling.shards import SUFFIX, finding_of, shard_paths, whole_batches

RECORD_NAME = "run.json"
RESOLVED_NAME = "resolved"


@dataclass(frozen=True, slots=True)
class LabelRun:
    """A run on its way.

    Attributes:
        folder: of the shards, and of the file that says which run they belong to.
        attempt: 1 for the first; shards of later attempts sort behind those of earlier ones.
    """

    folder: Path
    attempt: int

    def new_shard(self, worker: str) -> Path:
        """Where a worker, whose name no other one of this attempt has, is to write."""
        return self.folder / f"{self.attempt:04d}_{worker}{SUFFIX}"

    @property
    def record(self) -> Path:
        """The file that says which run the shards belong to."""
        return self.folder / RECORD_NAME

    @property
    def shards(self) -> list[Path]:
        """All shards so far, older ones first."""
        return [path for path in shard_paths(self.folder) if path != self.resolved_shard]

    @property
    def resolved_shard(self) -> Path:
        """Where labels go that were changed once all boxes were labelled; it is made anew each time."""
        return self.folder / f"{RESOLVED_NAME}{SUFFIX}"

    def finish(self) -> None:
        """Remove the shards: the output is complete.

        A run that is killed meanwhile is known to be finished, and the next attempt removes what is left.
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
    """Begin a run, or go on with the one that is in the folder. To be called by one process only.

    A run's identity counts from its first label: before that nothing can be mixed, and another run takes its place.

    Args:
        folder: for the shards; made if absent.
        identity: what decides the masks, see `mal.labelling.run_identity.run_identity`.
        output: the label file to be written at the end.
        overwrite: whether a finished output may be replaced.
        restart: whether what an unfinished run has done is thrown away.
        is_finished: whether the output is that of a run of this identity; asked where the folder holds none.

    Returns:
        The run; None where it is finished. Shards that it has left are removed.

    Raises:
        UserError: an output is there already, or an unfinished run of something else; or the folder cannot be
            written.
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
    return any(finding_of(line).label is not None for batch in batches for _, line in batch)


def _attempt(shard: Path) -> int:
    number = shard.name.partition("_")[0]
    return int(number) if number.isdecimal() else 0


def _read(record: Path) -> dict[str, Any]:
    """What was written when the run began; empty where there is none."""
    if not record.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(record.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{record} cannot be read ({error}): remove {record.parent} to begin anew") from error
    return content


def _remove(folder: Path) -> None:
    """Remove a run; its record last, so that no shard is ever taken for one of another run."""
    for path in [*shard_paths(folder), folder / RECORD_NAME]:
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
