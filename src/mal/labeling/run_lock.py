"""Lock a run folder: of two runs in it, the first to end would remove the shards of the other."""

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
# Errors of file systems without locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)
_TRIES = 5  # if another process, just ending, removes the folder


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Lock a folder for this process. The system releases the lock when the process ends, however it ends.

    Without effect on file systems that have no locks.

    Args:
        folder: folder of the shards; created if needed, removed at the end if empty.

    Raises:
        UserError: another process holds the lock, or the folder cannot be written.
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
        # Remove it while it is held, so that nobody else's lock is removed: a process that opens it meanwhile sees that
        # it is unlinked and opens a new one. Windows cannot remove open files; there the library removes it afterwards.
        if os.name == "posix" and lock.is_locked:
            (folder / LOCK_NAME).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # not empty, or in use by another run
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
