"""Files that are whole or not there."""

from __future__ import annotations

import errno
import glob
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mal.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)
# What network and FUSE file systems answer that cannot sync a folder.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when it is complete and on the disk.

    Until the block ends without an error, ``path`` keeps its old content. Missing folders are made. What a process that
    was killed left of the same file is removed.

    Raises:
        UserError: it cannot be written (no permission, full disk, ``path`` is a folder).
    """
    # With the machine's name: the numbers of its processes mean nothing on another one that shares the folder.
    draft = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_drafts_of_the_dead(path.parent, glob.escape(path.name))
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        _remove(draft)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, so that a renamed file keeps its new name after a power cut."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def cannot_write(path: Path, error: OSError) -> UserError:
    """The user's error for a file that is written whole or not at all, and now was not."""
    advice = "; files written before are intact, make room and start again" if error.errno in _FULL else ""
    return UserError(f"{path} cannot be written: {error.strerror or error}{advice}")


def disk_error(error: BaseException | None) -> OSError | None:
    """What the operating system said at the bottom of a chain of errors; None where it said nothing."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def remove_drafts_of_the_dead(folder: Path, name: str = "*") -> None:
    """Remove what killed processes of this machine have left of the files in a folder.

    Args:
        folder: where; not below it.
        name: a glob pattern of the files.
    """
    for draft in folder.glob(f".{name}.{glob.escape(socket.gethostname())}.*.draft"):
        number = draft.name.split(".")[-2]
        if number.isdecimal() and not _is_running(int(number)):
            draft.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _remove(draft: Path) -> None:
    # After success the draft is gone; where its folder could not be made or read, it never existed.
    if os.access(draft, os.F_OK):
        draft.unlink()
