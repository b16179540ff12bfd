from __future__ import annotations

import multiprocessing

import pytest

from mal.data import reading_board
from mal.data.reading_board import ReadingBoard, at_work_on, take_place


@pytest.fixture
def board(monkeypatch) -> ReadingBoard:
    monkeypatch.setattr(reading_board, "_place", None)
    return ReadingBoard(2)


def test_a_place_shows_what_its_process_is_at_work_on_and_nothing_between(board):
    take_place(board, 1)
    for position in (0, 7):
        with at_work_on(position):
            assert [board.position(0), board.position(1)] == [None, position]
        assert board.position(1) is None


def test_an_image_that_fails_is_not_shown_any_more(board):
    take_place(board, 0)
    with pytest.raises(OSError, match="damaged"), at_work_on(3):
        raise OSError("damaged")
    assert board.position(0) is None


def test_a_process_without_a_place_shows_nothing(board):
    with at_work_on(3):
        assert [board.position(0), board.position(1)] == [None, None]


def _stay_at(board: ReadingBoard, position: int) -> None:
    board.write(0, position)


def test_what_another_process_wrote_outlives_it(board):
    process = multiprocessing.Process(target=_stay_at, args=(board, 5))
    process.start()
    process.join()
    assert board.position(0) == 5
