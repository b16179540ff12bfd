"""Write the journal of a review: one process at a time, every decision on disk before it is confirmed."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mal.errors import UserError
from mal.files import cannot_write, sha256, sync_folder
from mal.masks.rle import Rle
from mal.review.journal import (
    Decision,
    Journal,
    State,
    decision_line,
    header_line,
    read_journal,
    require_same_file,
)

_HEADER_START = b'{"format":"mal.review"'
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


class StaleVersionError(Exception):
    """Somebody else has decided on an annotation since the page read it.

    Attributes:
        current: the decision that counts; None where there is none any more.
    """

    def __init__(self, current: Decision | None) -> None:
        self.current = current
        super().__init__("not decided" if current is None else f"decided meanwhile: {current.state} by {current.by}")


class LabelsChangedError(UserError):
    """The label file is not the one any more that the decisions are about."""


@dataclass(frozen=True, slots=True)
class Act:
    """What a person does.

    Attributes:
        position, state, by, operation, segmentation, bbox: as of `Decision`.
        base: version of the annotation that the person has seen.
    """

    position: int
    state: State
    by: str
    operation: str
    base: int
    segmentation: Rle | None = None
    bbox: list[float] | None = None


class JournalWriter:
    """Takes decisions, and appends them to the journal; safe to use from several threads. See `open_journal`.

    Attributes:
        journal: what it holds so far.
        cut_bytes: of an incomplete last line, which an earlier process left and this one removed.
    """

    def __init__(self, labels: Path, digest: str, path: Path) -> None:
        self._labels = labels
        self._digest = digest
        self._seen = _state_of(labels)
        self._foreign: tuple[int, int, int] | None = None  # the state of another file that was found in its place
        self._lock = threading.Lock()
        self.journal = _existing(path, labels, digest) or Journal(path, digest)
        self.cut_bytes = self.journal.torn_bytes
        self._number = len(self.journal.operations)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            if self.cut_bytes:
                os.ftruncate(self._file, self.journal.size)
                os.fsync(self._file)
            os.lseek(self._file, self.journal.size, os.SEEK_SET)
            if not self.journal.size:
                self._append(header_line(labels, digest, _now()))
                sync_folder(path.parent)
        except OSError as error:
            raise cannot_write(path, error) from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def decide(self, act: Act, annotation_id: Any) -> Decision:
        """Write a decision; it is on disk when this returns.

        Args:
            act: of a person. One whose operation is in the journal already is answered as it was then.
            annotation_id: of the label file, for readers of the journal.

        Raises:
            StaleVersionError: somebody else has decided on the annotation meanwhile.
            LabelsChangedError: the label file was changed.
            OSError: it cannot be written, as on a full disk; nothing was decided then.
        """
        with self._lock:
            if act.operation in self.journal.operations:
                return self.journal.operations[act.operation]
            self.require_unchanged()
            if act.base != self.journal.version(act.position):
                raise StaleVersionError(self.journal.decisions.get(act.position))
            decision = Decision(
                act.position,
                self.journal.version(act.position) + 1,
                act.state,
                _now(),
                act.by,
                self._number + 1,
                act.operation,
                act.segmentation,
                act.bbox,
            )
            self._append(decision_line(decision, annotation_id))
            self._number += 1
            self.journal.add(decision)
            return decision

    def require_unchanged(self) -> None:
        """Check that the label file is still the same; it is read again only where its time or size has changed.

        Raises:
            LabelsChangedError: it is another.
        """
        seen = _state_of(self._labels)
        if seen == self._seen:
            return
        if seen is None or seen == self._foreign or sha256(self._labels) != self._digest:
            self._foreign = seen
            what = "was removed" if seen is None else "was changed by another program"
            raise LabelsChangedError(
                f"{self._labels} {what} since the review began: nothing more is decided on it; all decisions so far are"
                f" in {self.journal.path}. Bring the file back, or start `mal review` on the new one with --journal NEW"
            )
        self._seen = seen

    def _append(self, line: bytes) -> None:
        """Write a line completely, or leave the file as it was."""
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self.journal.size)
            os.lseek(self._file, self.journal.size, os.SEEK_SET)
            raise
        self.journal.size += len(line)


@contextmanager
def open_journal(labels: Path, digest: str, path: Path) -> Iterator[JournalWriter]:
    """Open the journal of a label file for writing, alone; it is made where there is none.

    Args:
        labels: the label file.
        digest: its SHA-256, as it was read.
        path: of the journal.

    Raises:
        UserError: another process has it open, it belongs to another label file, is damaged or cannot be written.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"{path} is in use by another `mal review`: open its page in a second tab, or end it first"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise cannot_write(path, error) from error
    try:
        writer = JournalWriter(labels, digest, path)
        try:
            yield writer
        finally:
            writer.close()
    finally:
        if os.name == "posix" and lock.is_locked:
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _existing(path: Path, labels: Path, digest: str) -> Journal | None:
    """The journal so far; None where there is none, or only a torn first line, so that nothing was decided."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot_write(path, error) from error
    if b"\n" not in content and _HEADER_START.startswith(content[: len(_HEADER_START)]):
        return Journal(path, digest, torn_bytes=len(content))
    journal = read_journal(path)
    require_same_file(journal, labels, digest)
    return journal


def _state_of(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
