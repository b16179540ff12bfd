"""No two runs in the same folder: the first to end would remove the shards of the other."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mal.errors import UserError
from mal.files import cannot_write

LOCK_NAME = "lock"
_HELD = (errno.EACCES, errno.EAGAIN)


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Keep a folder for this process. The system frees it when the process ends, however it ends.

    Where the file system cannot keep files for anybody, or the system is no POSIX one, nothing is kept.

    Args:
        folder: of the shards; made if absent, and removed at the end if it is empty.

    Raises:
        UserError: another process has it, or it cannot be written.
    """
    if os.name != "posix":
        yield
        return
    import fcntl

    path = folder / LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise cannot_write(path, error) from error
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # which loader processes, being forks, do not inherit
        except OSError as error:
            if error.errno in _HELD:
                raise UserError(
                    f"{folder}: another process is labelling there: wait for it, or give this run another"
                    " results folder"
                ) from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()
