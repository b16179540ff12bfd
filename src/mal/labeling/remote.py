"""Shards and label files behind URLs, so that any machine can resume a run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mal.errors import UserError, one_line
from mal.labeling.run import RECORD_NAME
from mal.labeling.shards import SUFFIX
from mal.paths import to_path


class RemoteShards:
    """A copy of a run's shards.

    Args:
        url: a folder for this run alone; created if needed.
    """

    def __init__(self, url: str) -> None:
        self.folder = to_path(url)

    def fetch(self, folder: Path) -> None:
        """Copy a run that began elsewhere into a folder without a run.

        Raises:
            UserError: the URL cannot be read.
        """
        if (folder / RECORD_NAME).exists():
            return
        for name in self._names():
            copy(self.folder / name, folder / name)

    def send(self, path: Path) -> None:
        """Upload a shard or the record of the run.

        Raises:
            UserError: the URL cannot be written.
        """
        copy(path, self.folder / path.name)

    def remove(self) -> None:
        """Remove the copy once the output is complete."""
        for name in self._names():
            (self.folder / name).unlink()

    def _names(self) -> list[str]:
        """Shards first, then the record, so that an interrupted fetch is repeated."""
        if not self.folder.exists():
            return []
        names = {path.name for path in self.folder.iterdir()}
        return [*sorted(name for name in names if name.endswith(SUFFIX)), *sorted(names & {RECORD_NAME})]


@contextmanager
def behind_urls(
    *,
    label_url: str | None,
    shards_url: str | None,
    output: Path,
    shards: Path,
    overwrite: bool,
    restart: bool,
    is_complete: bool = False,
) -> Iterator[None]:
    """Around a run: fetch earlier results, and upload the finished label file.

    Args:
        label_url: URL for a copy of the label file; None for no copy.
        shards_url: URL of the copy of the shards; None for no copy. The run itself uploads them.
        output: the label file on this machine.
        shards: folder of the run on this machine.
        overwrite: whether a label file behind the URL may be replaced.
        restart: whether to discard the results of an unfinished run.
        is_complete: whether the local label file is finished; then it is uploaded only if it is missing there.

    Raises:
        UserError: the label file exists already, or a URL cannot be read or written.
    """
    remote = RemoteShards(shards_url) if shards_url else None
    if remote and restart:
        remote.remove()
    elif remote and not is_complete:
        remote.fetch(shards)
    if label_url and not is_complete:
        check_upload(label_url, shards, overwrite=overwrite)
    yield
    if label_url and not (is_complete and to_path(label_url).exists()):
        copy(output, to_path(label_url))
    if remote and not (shards / RECORD_NAME).exists():
        remote.remove()


def check_upload(url: str, shards: Path, *, overwrite: bool) -> None:
    """Refuse to replace a label file behind a URL unasked; call it before hours of labeling.

    Args:
        url: target of the label file.
        shards: folder of the run; an unfinished run may write its own file.
        overwrite: whether a file there may be replaced.

    Raises:
        UserError: the file exists already.
    """
    if to_path(url).exists() and not overwrite and not (shards / RECORD_NAME).exists():
        raise UserError(f"{url} exists already: replace it with --overwrite, or give the label file another name")


def copy(source: Path, target: Path) -> None:
    """Copy a file from or to a URL.

    Raises:
        UserError: it cannot be read or written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as reader, target.open("wb") as writer:
            shutil.copyfileobj(reader, writer, length=2**20)
    # Every store raises its own errors.
    except Exception as error:
        raise UserError(f"{source} cannot be copied to {target}: {one_line(error)}") from error
