from __future__ import annotations

import multiprocessing

import pytest

from mal.data import worker_processes
from mal.data.worker_processes import WorkerStatus, reading_image, set_worker_slot


@pytest.fixture
def board(monkeypatch) -> WorkerStatus:
    monkeypatch.setattr(worker_processes, "_worker_slot", None)
    return WorkerStatus(2)


def test_a_place_shows_what_its_process_is_at_work_on_and_nothing_between(board):
    set_worker_slot(board, 1)
    for position in (0, 7):
        with reading_image(position):
            assert [board.position(0), board.position(1)] == [None, position]
        assert board.position(1) is None


def test_an_image_that_fails_is_not_shown_any_more(board):
    set_worker_slot(board, 0)
    with pytest.raises(OSError, match="damaged"), reading_image(3):
        raise OSError("damaged")
    assert board.position(0) is None


def test_a_process_without_a_place_shows_nothing(board):
    with reading_image(3):
        assert [board.position(0), board.position(1)] == [None, None]


def _stay_at(board: WorkerStatus, position: int) -> None:
    board.write(0, position)


def test_what_another_process_wrote_outlives_it(board):
    process = multiprocessing.Process(target=_stay_at, args=(board, 5))
    process.start()
    process.join()
    assert board.position(0) == 5
