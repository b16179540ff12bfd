"""Errors that a user can fix, shown as one line without a traceback."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_WORKED_ON = "_worked_on"  # like `BaseException.add_note`, which Python 3.10 lacks


class UserError(Exception):
    """A mistake in the user's input: ``str(error)`` is one line that names the cause and what to do."""


def one_line(error: BaseException) -> str:
    """Another library's whole message on one line; the error's class name if there is no message."""
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """The first line of another library's message; the error's class name if there is no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def working_on(where: str) -> Iterator[None]:
    """Attach the current file and record to an unexpected error of this block.

    Args:
        where: name of the file or record, as in messages.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        error.__dict__.setdefault(_WORKED_ON, []).insert(0, where)
        raise


def at_fault(error: BaseException) -> str:
    """The names that `working_on` attached, outermost first, each followed by a colon; empty without any."""
    return "".join(f"{where}: " for where in error.__dict__.get(_WORKED_ON, ()))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error is about memory, and so not a fault of the file that was read."""
    said = re.search(r"out of memory|insufficient memory|not enough memory|can't allocate memory", str(error), re.I)
    return isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM or said is not None


class BoxWarning(UserWarning):
    """Boxes passed to the library do not look like corners in pixels."""


class DamagedFile(UserError):  # noqa: N818 -- says what is wrong, as UserError says whose
    """A file is truncated, was changed after it was written, or is not what its name says."""


class StoppedBySignal(Exception):  # noqa: N818 -- nobody has made an error
    """A run was stopped between two steps by a signal.

    Args:
        number: number of the signal.
        note: what was saved, and how to resume.
    """

    def __init__(self, number: int, note: str) -> None:
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}: {note}")


class LockedFile(UserError):  # noqa: N818
    """A file is encrypted, and its key is missing or wrong."""


class SpecError(UserError):
    """Every problem found in one spec.

    Args:
        problems: one line each, in the order of the spec file.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
