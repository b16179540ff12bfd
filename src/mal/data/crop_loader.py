"""Load crops by worker processes, and what these make of them; one line says which image a worker died on."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from mal.data.label_dataset import BoxCropIterable, CropBatch
from mal.data.worker_processes import WorkerStatus, crash_message, start_worker, starting_workers
from mal.errors import UserError


class CropLoader:
    """The batches of a stream of crops, cut by worker processes.

    Each worker cuts a share of the stream's chunks and is one batch ahead; batches come from the workers in turn.

    Args:
        stream: the crops.
        num_workers: worker processes, of which no more than chunks are started; 0 cuts in this process.

    Raises:
        UserError: while iterating, a worker died; it names the image that the worker was reading.
    """

    def __init__(self, stream: BoxCropIterable, *, num_workers: int) -> None:
        self.stream = stream
        self.num_workers = min(num_workers, stream.num_chunks)

    def __iter__(self) -> Iterator[CropBatch]:
        if not self.num_workers:
            yield from self.stream
            return
        yield from done_by_workers(self.stream, iter, self.num_workers)


Item = TypeVar("Item")
Work = Callable[[Iterator[CropBatch]], Iterator[Item]]
"""Makes items of batches, each when it is asked for; called in a worker."""


def done_by_workers(stream: BoxCropIterable, work: Work[Item], num_workers: int) -> Iterator[Item]:
    """What worker processes make of the batches of a stream.

    Args:
        stream: the crops; each worker cuts a share of its chunks.
        work: where processes are not forked, it is pickled.
        num_workers: worker processes, at least 1.

    Yields:
        The items of all workers, in turn: those of one worker in their order.

    Raises:
        UserError: a worker died; it names the image that the worker was reading.
    """
    board = WorkerStatus(num_workers)
    with _started(stream, work, board, num_workers) as workers:
        turn = deque(workers)
        while turn:
            worker = turn.popleft()
            received = worker.receive(board, stream.image_name)
            if not isinstance(received, _End):
                turn.append(worker)
                yield received


@dataclass(frozen=True, slots=True)
class _End:
    """Follows the last item of a worker."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error of the program in a worker, with its traceback."""

    error: Exception
    trace: str


@dataclass(frozen=True, slots=True)
class _Worker:
    number: int
    process: BaseProcess
    items: Connection

    def receive(self, board: WorkerStatus, image_name: Callable[[int], str]) -> Any:
        """Wait for the next item, or for the `_End` after the last one."""
        try:
            received = self.items.recv()
        except (EOFError, OSError) as error:  # its end of the pipe closed, perhaps amid an item
            self.process.join()
            raise UserError(crash_message(board, self.number, self.process.exitcode, image_name)) from error
        if isinstance(received, _Failure):
            raise received.error from RuntimeError(f"in a loader process:\n{received.trace}")
        return received


@contextmanager
def _started(
    stream: BoxCropIterable, work: Work[Any], board: WorkerStatus, num_workers: int
) -> Iterator[list[_Worker]]:
    """Start the workers of a stream, and end them."""
    # Forked workers share what has been read with the main process; Python 3.14 would not fork by itself.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    workers: list[_Worker] = []
    try:
        with starting_workers():
            for number in range(num_workers):
                receiver, sender = context.Pipe(duplex=False)
                arguments = (stream, work, board, os.getpid(), number, num_workers, receiver, sender)
                process = context.Process(target=_send_items, args=arguments, daemon=True)
                process.start()
                sender.close()  # so that the end of the process ends the pipe
                workers.append(_Worker(number, process, receiver))
        yield workers
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()
            worker.items.close()


def _send_items(
    stream: BoxCropIterable,
    work: Work[Any],
    board: WorkerStatus,
    main_process: int,
    number: int,
    num_workers: int,
    receiver: Connection,
    sender: Connection,
) -> None:
    """Cut a worker's share and send what is made of it, item by item, then the end; runs in the worker."""
    receiver.close()
    start_worker(board, main_process, number)
    try:
        for item in work(stream.share(number, num_workers)):
            sender.send(item)
        sender.send(_End())
    except BrokenPipeError:
        return  # the main process has ended
    except Exception as error:  # noqa: BLE001 - raised in the main process
        sender.send(_Failure(error, traceback.format_exc()))
