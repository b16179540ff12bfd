from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from mal.data import train_dataset
from mal.data.dataloader import FailFastDataLoader
from mal.data.train_dataset import BoxCropDataset, train_loader
from mal.errors import UserError
from tests.data.photos import photos
from tests.data.processes import (
    before_reading,
    is_running,
    process_that_ends_early,
    wait_until,
    workers_of_a_killed_process,
)

NUM_IMAGES = 6
opened: list[FailFastDataLoader] = []


@pytest.fixture(autouse=True)
def _closed_loaders():
    """A failed test's loader would be left to the garbage collector, where PyTorch waits 5 s for each process."""
    yield
    while opened:
        iterator = opened.pop()._iterator
        if iterator is not None:
            iterator._shutdown_workers()


def end(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture
def boxes(tmp_path):
    return photos(tmp_path, [2] * NUM_IMAGES)


@pytest.fixture
def reader(monkeypatch) -> Callable[[Callable[[], object]], None]:
    """Lets something happen in the process that reads image 4, before it is read."""

    return lambda event: before_reading(monkeypatch, train_dataset, event)


def training(boxes, folder, num_workers=2) -> FailFastDataLoader:
    dataset = BoxCropDataset(boxes, folder, crop_size=32, margin_rate=[0.0, 1.2], border="wrap", seed=3)
    loader = train_loader(dataset, batch_size=2, num_workers=num_workers, rank=0, world_size=1, pin_memory=False)
    opened.append(loader)
    return loader


def failure_of(loader: FailFastDataLoader) -> str:
    with pytest.raises(UserError) as failure:
        list(loader)
    text = str(failure.value)
    assert "\n" not in text
    assert "Traceback" not in text
    return text


def test_the_image_of_a_killed_process_is_named_with_the_likely_reason(boxes, tmp_path, reader):
    reader(lambda: end(signal.SIGKILL))
    text = failure_of(training(boxes, tmp_path))
    assert text.startswith(
        f"image {tmp_path}/4.png: the process reading it was killed (SIGKILL), probably because memory"
    )
    assert "dataset.num_workers_per_gpu" in text


@pytest.mark.parametrize("crash", [lambda: end(signal.SIGSEGV), lambda: ctypes.string_at(0)], ids=["told", "real"])
def test_a_crash_is_laid_to_the_image_and_its_decoder_and_nothing_else_is_printed(
    boxes, tmp_path, reader, crash, capfd
):
    reader(crash)
    text = failure_of(training(boxes, tmp_path))
    assert "4.png" in text
    assert "(SIGSEGV), the file is damaged or its decoder" in text
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("code", [0, 3])
def test_a_process_that_a_library_ended_is_named_too(boxes, tmp_path, reader, code):
    reader(lambda: os._exit(code))
    text = failure_of(training(boxes, tmp_path, num_workers=1))
    assert "4.png" in text
    assert f"exit code {code}" in text


def test_a_death_is_told_where_the_next_batch_is_asked_for_and_nowhere_else(boxes, tmp_path):
    loader = training(boxes, tmp_path)
    batches = iter(loader)
    next(batches)
    victim = loader._iterator._workers[0]
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    torch.zeros(3).sum()
    with pytest.raises(UserError, match="SIGKILL"):
        next(batches)


def test_a_death_between_two_epochs_is_told_at_the_next_one(boxes, tmp_path):
    loader = training(boxes, tmp_path)
    list(loader)
    os.kill(loader._iterator._workers[0].pid, signal.SIGKILL)
    assert "SIGKILL" in failure_of(loader)


def test_a_death_is_told_where_this_process_was_started_to_ignore_its_children(boxes, tmp_path):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        batches = iter(training(boxes, tmp_path))
        next(batches)
        victim = opened[-1]._iterator._workers[0]
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        with pytest.raises(UserError, match="SIGKILL"):
            next(batches)
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_damaged_training_image_is_the_line_that_its_reader_gave(boxes, tmp_path, num_workers):
    path = tmp_path / "4.png"
    path.write_bytes(path.read_bytes()[:200])
    assert failure_of(training(boxes, tmp_path, num_workers)).startswith(f"image {path} is damaged")


def test_an_error_of_the_program_in_a_loader_process_is_not_dressed_up(boxes, tmp_path, reader):
    reader(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(training(boxes, tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_loader_processes_leave_the_signals_of_a_run_to_the_main_process(boxes, tmp_path, number):
    loader = training(boxes, tmp_path)
    batches = iter(loader)
    found = [next(batches)]
    kill_from_outside(number, [worker.pid for worker in loader._iterator._workers])
    found += batches
    assert sum(map(len, found)) == len(boxes)
    assert all(worker.is_alive() for worker in loader._iterator._workers)


def kill_from_outside(number: int, pids: list[int]) -> None:
    """Send a signal as a terminal or a cluster does: not from the main process."""
    subprocess.run(["kill", f"-{number}", *map(str, pids)], check=True)


def test_the_main_process_can_still_end_them(boxes, tmp_path):
    loader = training(boxes, tmp_path)
    list(loader)
    workers = loader._iterator._workers
    for worker in workers:
        worker.terminate()
        worker.join(10)
    assert [worker.exitcode for worker in workers] == [0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_loader_process_computes_with_one_thread(boxes, tmp_path, reader):
    counts = tmp_path / "counts"

    def count() -> None:
        before = list(Path("/proc/self/task").iterdir())
        torch.ones(512, 512) @ torch.ones(512, 512)
        more = len(list(Path("/proc/self/task").iterdir())) - len(before)
        counts.write_text(f"{torch.get_num_threads()} {more}")

    reader(count)
    list(training(boxes, tmp_path, num_workers=1))
    assert counts.read_text() == "1 0"


def begin_an_epoch(folder: Path) -> tuple[Iterator[object], list[int]]:
    loader = training(photos(folder, [2] * NUM_IMAGES), folder)
    batches = iter(loader)
    next(batches)
    return batches, [worker.pid for worker in loader._iterator._workers]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_loader_process_outlives_a_main_process_that_is_killed(tmp_path):
    workers = workers_of_a_killed_process(begin_an_epoch, tmp_path)
    assert len(workers) == 2
    assert wait_until(lambda: not any(map(is_running, workers)))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_main_process_that_ends_amid_an_epoch_ends_its_loader_processes_and_says_nothing(tmp_path):
    ended = process_that_ends_early(begin_an_epoch, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not any(is_running(int(pid)) for pid in ended.stdout.split())
