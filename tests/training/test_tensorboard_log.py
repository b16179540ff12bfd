from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from mal.training.tensorboard_log import TensorBoardLog, tags_at


@pytest.fixture(autouse=True)
def _files_in_order(monkeypatch):
    """The files of one second are told apart by a counter, and sorted by it as text: so let it have three digits."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(100))


def log(folder: Path, steps: Iterable[int], *, value: float, steps_done: int = 0, tag: str = "train/loss") -> None:
    """One start of a run."""
    logger = TensorBoardLog(folder, steps_done)
    for step in steps:
        logger.log_metrics({tag: value}, step)
    logger.finalize("success")


def curve(folder: Path, tag: str = "train/loss") -> list[tuple[int, float]]:
    """What TensorBoard shows."""
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_what_was_logged_after_the_step_that_a_run_goes_on_from_is_hidden(tmp_path):
    log(tmp_path, range(8), value=1.0)
    log(tmp_path, range(5, 7), value=2.0, steps_done=5)
    assert curve(tmp_path) == [*((step, 1.0) for step in range(5)), (5, 2.0), (6, 2.0)]


def test_a_new_run_in_an_old_folder_begins_a_new_curve(tmp_path):
    log(tmp_path, range(8), value=1.0)
    log(tmp_path, range(2), value=2.0)
    assert curve(tmp_path) == [(0, 2.0), (1, 2.0)]


def test_a_validation_that_is_begun_again_appears_once(tmp_path):
    log(tmp_path, [4], value=0.5, tag="val/mIoU")
    log(tmp_path, [4, 9], value=0.5, steps_done=5, tag="val/mIoU")
    assert curve(tmp_path, "val/mIoU") == [(4, 0.5), (9, 0.5)]


def test_what_a_second_start_has_hidden_is_logged_by_the_third(tmp_path):
    log(tmp_path, [4, 9], value=0.25, tag="val/mIoU")
    log(tmp_path, [], value=0.0, steps_done=5)
    log(tmp_path, [9], value=0.5, steps_done=10, tag="val/mIoU")
    assert curve(tmp_path, "val/mIoU") == [(4, 0.25), (9, 0.5)]


def test_a_picture_that_is_drawn_again_appears_once(tmp_path):
    for steps_done in (0, 5):
        logger = TensorBoardLog(tmp_path, steps_done)
        logger.log_picture("val/masks", np.zeros((4, 6, 3), dtype=np.uint8), 4)
        logger.finalize("success")
    (picture,) = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Images("val/masks")
    assert (picture.step, picture.width, picture.height) == (4, 6, 4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path):
    log(tmp_path, [3, 4], value=1.0)
    (path,) = (tmp_path / "tensorboard").glob("events.*")
    path.write_bytes(path.read_bytes()[:-3])
    assert tags_at(tmp_path / "tensorboard", 3) == {"train/loss"}
    assert tags_at(tmp_path / "tensorboard", 4) == set()
    log(tmp_path, [4], value=2.0, steps_done=4)
    assert curve(tmp_path) == [(3, 1.0), (4, 2.0)]
