"""No two runs in the same folder: the first to end would remove the shards of the other."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mal.errors import UserError
from mal.files import cannot_write

LOCK_NAME = "lock"
# What file systems answer that cannot keep a file for anybody.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)
_TRIES = 5  # of a folder that another process, which ends just now, takes away


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Keep a folder for this process. The system frees it when the process ends, however it ends.

    Where the file system cannot keep files for anybody, nothing is kept.

    Args:
        folder: of the shards; made if absent, and removed at the end if it is empty.

    Raises:
        UserError: another process has it, or it cannot be written.
    """
    lock = FileLock(folder / LOCK_NAME, timeout=0)
    try:
        _acquire(lock, folder)
    except Timeout:
        raise UserError(
            f"{folder}: another process is labelling there: wait for it, or give this run another results folder"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise cannot_write(folder / LOCK_NAME, error) from error
    try:
        yield
    finally:
        # While it is held, so that nobody else's is removed: who opens it meanwhile finds that it has no name any more,
        # and opens another. Windows removes no open file; there the library does it afterwards.
        if os.name == "posix" and lock.is_locked:
            (folder / LOCK_NAME).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # it is not empty, or another run has it now
            folder.rmdir()


def _acquire(lock: FileLock, folder: Path) -> None:
    for tries_left in reversed(range(_TRIES)):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
            return
        except FileNotFoundError:
            if not tries_left:
                raise
