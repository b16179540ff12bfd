"""Labeling's loader: the order of its batches, and the ends of its worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mal.data import label_dataset
from mal.data.crop_loader import CropLoader
from mal.data.label_dataset import CropBatch, CropSettings
from mal.data.loaders import crop_loader
from mal.errors import UserError
from mal.runtime.threads import read_ahead
from tests.data.photos import photos
from tests.data.processes import (
    before_reading,
    is_running,
    process_that_ends_early,
    wait_until,
    workers_of_a_killed_process,
)

NUM_IMAGES = 6


@pytest.fixture
def boxes(tmp_path):
    return photos(tmp_path, [2] * NUM_IMAGES)


@pytest.fixture
def reader(monkeypatch) -> Callable[[Callable[[], object]], None]:
    """Lets something happen in the process that reads image 4, before it is read."""

    return lambda event: before_reading(monkeypatch, label_dataset, event)


def loader(boxes, folder, num_workers=2) -> CropLoader:
    return crop_loader(boxes, folder, CropSettings(crop_size=32), batch_size=2, num_workers=num_workers)


def failure_of(batches: Iterator[CropBatch] | CropLoader) -> str:
    with pytest.raises(UserError) as failure:
        list(batches)
    text = str(failure.value)
    assert "\n" not in text
    assert "Traceback" not in text
    return text


def children() -> list[int]:
    return [process.pid for process in multiprocessing.active_children()]


def test_two_processes_give_the_batches_of_one_chunk_after_chunk_in_turn(tmp_path):
    boxes = photos(tmp_path, [40] * 4)  # four chunks
    alone = [batch for batch in loader(boxes, tmp_path, 0) if len(batch)]
    shared = [batch for batch in loader(boxes, tmp_path, 2) if len(batch)]
    assert [batch.boxes[0].position for batch in shared[:4]] == [0, 40, 2, 42]
    expected = {batch.boxes[0].position: batch for batch in alone}
    assert len(shared) == len(alone)
    for batch in shared:
        other = expected[batch.boxes[0].position]
        assert batch.boxes == other.boxes
        assert batch.frames == other.frames
        for name in ("images", "box_mask", "box_area"):
            assert np.array_equal(getattr(batch, name), getattr(other, name))


def test_no_process_is_left_after_the_last_batch_nor_after_one_that_is_not_wanted_any_more(tmp_path):
    boxes = photos(tmp_path, [70] * 4)
    list(loader(boxes, tmp_path))
    assert not children()
    batches = iter(loader(boxes, tmp_path))
    next(batches)
    assert len(children()) == 2
    batches.close()
    assert not children()


@pytest.mark.parametrize(
    ("number", "meaning"),
    [
        (signal.SIGKILL, "probably because memory ran out: set dataset.num_workers_per_gpu"),
        (signal.SIGSEGV, "the file is damaged or its decoder is at fault"),
        (signal.SIGBUS, "probably because /dev/shm is full"),
    ],
)
def test_the_image_that_a_process_died_on_is_named_with_the_likely_reason(boxes, tmp_path, reader, number, meaning):
    reader(lambda: os.kill(os.getpid(), number))
    text = failure_of(loader(boxes, tmp_path))
    assert text.startswith(f"image {tmp_path}/4.png: the process reading it was killed ({number.name}), {meaning}")


@pytest.mark.parametrize("code", [0, 3])
def test_a_process_that_a_library_ended_is_named_too(boxes, tmp_path, reader, code):
    reader(lambda: os._exit(code))
    text = failure_of(loader(boxes, tmp_path, num_workers=1))
    assert "4.png" in text
    assert f"exit code {code}" in text


def test_a_process_killed_while_it_waits_is_said_to_have_read_nothing(tmp_path):
    batches = iter(loader(photos(tmp_path, [70] * 4), tmp_path))  # enough for two processes
    next(batches)
    time.sleep(0.5)  # until both wait for their turn
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    with pytest.raises(UserError, match=r"^a loader process was killed between two images \(SIGKILL\)"):
        list(batches)
    assert not children()


def test_a_death_is_told_where_this_process_was_started_to_ignore_its_children(boxes, tmp_path, reader):
    reader(lambda: os.kill(os.getpid(), signal.SIGKILL))
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert "SIGKILL" in failure_of(loader(boxes, tmp_path))
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_damaged_image_is_a_failure_of_its_boxes(boxes, tmp_path, num_workers):
    path = tmp_path / "4.png"
    path.write_bytes(path.read_bytes()[:200])
    failures = [failure for batch in loader(boxes, tmp_path, num_workers) for failure in batch.failures]
    assert [box.image.position for box, _ in failures] == [4, 4]


def test_an_error_of_the_program_in_a_process_comes_with_its_traceback(boxes, tmp_path, reader):
    reader(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError) as failure:
        list(loader(boxes, tmp_path))
    assert "read_record_image" in str(failure.value.__cause__)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_the_processes_leave_the_signals_of_a_run_to_the_main_process(tmp_path, number):
    boxes = photos(tmp_path, [70] * 4)
    batches = iter(loader(boxes, tmp_path))
    found = [next(batches)]
    subprocess.run(["kill", f"-{number}", *map(str, children())], check=True)  # as a terminal or a cluster does
    found += batches
    assert sum(map(len, found)) == len(boxes)


def begin(folder: Path) -> tuple[Iterator[CropBatch], list[int]]:
    batches = iter(loader(photos(folder, [70] * 4), folder))
    next(batches)
    return batches, children()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_process_outlives_a_main_process_that_is_killed(tmp_path):
    workers = workers_of_a_killed_process(begin, tmp_path)
    assert len(workers) == 2
    assert wait_until(lambda: not any(map(is_running, workers)))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_main_process_that_ends_early_ends_its_processes_and_says_nothing(tmp_path):
    ended = process_that_ends_early(begin, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not any(is_running(int(pid)) for pid in ended.stdout.split())


def test_another_thread_may_read_the_batches(tmp_path):
    boxes = photos(tmp_path, [40] * 4)
    found = [batch.boxes for batch in read_ahead(loader(boxes, tmp_path), 2)]
    assert found == [batch.boxes for batch in loader(boxes, tmp_path)]
    ahead = read_ahead(loader(boxes, tmp_path), 2)
    next(ahead)
    ahead.close()
    assert not children()
