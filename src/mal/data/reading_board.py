"""What each loader process is at work on, for the moment when one of them dies and cannot tell it any more."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

NOTHING = -1


class ReadingBoard:
    """Shared memory in which every loader process shows the position of the image that it is at work on.

    Args:
        num_workers: processes that write on it.
    """

    def __init__(self, num_workers: int) -> None:
        self._positions = multiprocessing.RawArray("q", [NOTHING] * num_workers)

    def position(self, worker: int) -> int | None:
        """Position of the image that a worker is, or was when it died, at work on; None between two images."""
        position = self._positions[worker]
        return None if position == NOTHING else position

    def write(self, worker: int, position: int) -> None:
        """Show a position, or `NOTHING`."""
        self._positions[worker] = position


_place: tuple[ReadingBoard, int] | None = None  # of this process, as torch.utils.data.get_worker_info() has it


def take_place(board: ReadingBoard, worker: int) -> None:
    """Let `at_work_on` of this process write on a board."""
    global _place
    _place = (board, worker)


@contextmanager
def at_work_on(position: int) -> Iterator[None]:
    """Show on the board what the block works on; a process without a place on a board shows nothing."""
    if _place is None:
        yield
        return
    board, worker = _place
    board.write(worker, position)
    try:
        yield
    finally:
        board.write(worker, NOTHING)
