"""Load crops by worker processes, in a fixed order; one line says which image a worker died on."""

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
        board = WorkerStatus(self.num_workers)
        with _started(self.stream, board, self.num_workers) as workers:
            turn = deque(workers)
            while turn:
                worker = turn.popleft()
                batch = worker.next_batch(board, self.stream.image_name)
                if batch is not None:
                    turn.append(worker)
                    yield batch


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error of the program in a worker, with its traceback."""

    error: Exception
    trace: str


@dataclass(frozen=True, slots=True)
class _Worker:
    number: int
    process: BaseProcess
    batches: Connection

    def next_batch(self, board: WorkerStatus, image_name: Callable[[int], str]) -> CropBatch | None:
        """Wait for the next batch; None after the last one."""
        try:
            received: CropBatch | _Failure | None = self.batches.recv()
        except (EOFError, OSError) as error:  # its end of the pipe closed, perhaps amid a batch
            self.process.join()
            raise UserError(crash_message(board, self.number, self.process.exitcode, image_name)) from error
        if isinstance(received, _Failure):
            raise received.error from RuntimeError(f"in a loader process:\n{received.trace}")
        return received


@contextmanager
def _started(stream: BoxCropIterable, board: WorkerStatus, num_workers: int) -> Iterator[list[_Worker]]:
    """Start the workers of a stream, and end them."""
    # Forked workers share what has been read with the main process; Python 3.14 would not fork by itself.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    workers: list[_Worker] = []
    try:
        with starting_workers():
            for number in range(num_workers):
                receiver, sender = context.Pipe(duplex=False)
                arguments = (stream, board, os.getpid(), number, num_workers, receiver, sender)
                process = context.Process(target=_send_batches, args=arguments, daemon=True)
                process.start()
                sender.close()  # so that the end of the process ends the pipe
                workers.append(_Worker(number, process, receiver))
        yield workers
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()
            worker.batches.close()


def _send_batches(
    stream: BoxCropIterable,
    board: WorkerStatus,
    main_process: int,
    number: int,
    num_workers: int,
    receiver: Connection,
    sender: Connection,
) -> None:
    """Cut a worker's share and send it, batch by batch, then None; runs in the worker."""
    receiver.close()
    start_worker(board, main_process, number)
    try:
        for batch in stream.share(number, num_workers):
            sender.send(batch)
        sender.send(None)
    except BrokenPipeError:
        return  # the main process has ended
    except Exception as error:  # noqa: BLE001 - raised in the main process
        sender.send(_Failure(error, traceback.format_exc()))
