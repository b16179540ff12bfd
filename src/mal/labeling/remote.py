"""Shards and label files behind URLs, so that any machine can resume a run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mal.errors import UserError, one_line
from mal.labeling.run import RECORD_NAME
from mal.labeling.shards import SUFFIX
from mal.paths import place


class RemoteShards:
    """A copy of a run's shards.

    Args:
        url: of a folder of the run's own; made if absent.
    """

    def __init__(self, url: str) -> None:
        self.folder = place(url)

    def fetch(self, folder: Path) -> None:
        """Bring a run that began elsewhere into a folder that holds none.

        Raises:
            UserError: the URL cannot be read.
        """
        if (folder / RECORD_NAME).exists():
            return
        for name in self._names():
            copy(self.folder / name, folder / name)

    def send(self, path: Path) -> None:
        """Copy a shard, or the record of the run, there.

        Raises:
            UserError: the URL cannot be written.
        """
        copy(path, self.folder / path.name)

    def remove(self) -> None:
        """Remove the copy: the output is complete."""
        for name in self._names():
            (self.folder / name).unlink()

    def _names(self) -> list[str]:
        """Shards, then the record, so that a run whose fetching was cut off is fetched again."""
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
    """Around a run: bring what was found out elsewhere, and send what is complete.

    Args:
        label_url: where a copy of the label file goes; None for nowhere.
        shards_url: where a copy of the shards is; None for nowhere. The run itself sends them there.
        output: the label file on this machine.
        shards: folder of the run on this machine.
        overwrite: whether a label file behind the URL may be replaced.
        restart: whether what an unfinished run has found out is thrown away.
        is_complete: whether the label file on this machine is finished; then it is sent only where it is missing.

    Raises:
        UserError: a label file is there already, or a URL cannot be read or written.
    """
    remote = RemoteShards(shards_url) if shards_url else None
    if remote and restart:
        remote.remove()
    elif remote and not is_complete:
        remote.fetch(shards)
    if label_url and not is_complete:
        check_upload(label_url, shards, overwrite=overwrite)
    yield
    if label_url and not (is_complete and place(label_url).exists()):
        copy(output, place(label_url))
    if remote and not (shards / RECORD_NAME).exists():
        remote.remove()


def check_upload(url: str, shards: Path, *, overwrite: bool) -> None:
    """Refuse to replace a label file behind a URL unasked; call it before hours of labelling.

    Args:
        url: where the label file is to go.
        shards: folder of the run; an unfinished one may write what it began.
        overwrite: whether a file there may be replaced.

    Raises:
        UserError: there is a file already.
    """
    if place(url).exists() and not overwrite and not (shards / RECORD_NAME).exists():
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
    # Every store has errors of its own.
    except Exception as error:
        raise UserError(f"{source} cannot be copied to {target}: {one_line(error)}") from error
