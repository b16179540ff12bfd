from __future__ import annotations

import threading

import numpy as np
import pytest

from mal.errors import UserError
from mal.training.event_files import EventFiles
from tests.small_disk import fill, small_disk

FULL = r"tensorboard cannot be written: No space left on device; files written before are intact"


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", megabytes=1) as folder:
        yield folder


@pytest.fixture(autouse=True)
def heard(monkeypatch) -> list:
    """What Python would print of threads that failed."""
    failures = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    return failures


def logger_on(folder) -> EventFiles:
    return EventFiles(folder, name="tensorboard", version="")


def log_until_it_fails(logger) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    for step in range(1000):
        logger.add_picture("a", picture, step)
        logger.log_metrics({"b": 1.0}, step)


def test_a_disk_that_is_full_at_the_start_is_one_error(disk, heard):
    fill(disk)
    logger = logger_on(disk)
    with pytest.raises(UserError, match="cannot be written: No space left"):
        _ = logger.experiment
    logger.finalize("failed")
    assert not heard


def test_a_disk_that_gets_full_is_one_error_however_much_is_logged(disk, heard):
    logger = logger_on(disk)
    logger.log_metrics({"b": 1.0}, 0)
    fill(disk)
    with pytest.raises(UserError, match=FULL):
        log_until_it_fails(logger)
    log_until_it_fails(logger)
    logger.finalize("failed")
    assert not heard


def test_a_run_that_failed_tells_its_own_error_only(disk, heard):
    logger = logger_on(disk)
    logger.log_metrics({"b": 1.0}, 0)
    fill(disk)
    logger.log_metrics({"b": 1.0}, 1)
    logger.finalize("failed")
    assert not heard


def test_other_threads_are_heard_while_a_run_logs(tmp_path, heard):
    logger = logger_on(tmp_path)
    logger.log_metrics({"b": 1.0}, 0)
    thread = threading.Thread(target=lambda: [][0])
    thread.start()
    thread.join()
    logger.finalize("success")
    assert [failure.exc_type for failure in heard] == [IndexError]
    assert threading.excepthook == heard.append
