from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch.loggers
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from mal.errors import UserError
from mal.training import loggers
from mal.training.loggers import EventFiles, TensorBoardLog, tags_at
from tests.small_disk import fill, small_disk
from tests.small_networks import small_spec


@pytest.fixture
def wandb_installed(monkeypatch, tmp_path):
    """The client is there and would log; nothing leaves this machine."""
    made = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(name=name))
    monkeypatch.setattr(lightning.pytorch.loggers, "WandbLogger", lambda **options: made.append(options) or "wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    return made


def names(spec, folder):
    return [
        logger if isinstance(logger, str) else type(logger).__name__ for logger in loggers.run_loggers(spec, folder)
    ]


def test_tensorboard_files_lie_in_the_results_folder(tmp_path):
    (logger,) = loggers.run_loggers(small_spec(wandb={"enable": False}), tmp_path)
    assert Path(logger.log_dir) == tmp_path / "tensorboard"


def test_wandb_is_used_by_who_is_logged_in_to_it(wandb_installed, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert names(small_spec(), tmp_path) == ["TensorBoardLog", "wandb"]
    assert wandb_installed[0]["save_dir"] == tmp_path


@pytest.mark.parametrize(("key", "settings"), [(None, None), ("hunter2", {"x_disable_meta": True})])
def test_wandb_does_not_store_a_command_line_with_a_key_in_it(wandb_installed, monkeypatch, tmp_path, key, settings):
    monkeypatch.setenv("WANDB_API_KEY", "x")
    names(small_spec(encryption_key=key), tmp_path)
    assert wandb_installed[0]["settings"] == settings


def test_a_login_file_counts_as_logged_in(wandb_installed, tmp_path):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine api.wandb.ai login user password x\n")
    netrc.chmod(0o600)
    assert names(small_spec(), tmp_path) == ["TensorBoardLog", "wandb"]


@pytest.mark.parametrize("content", [None, "machine other.example login a password b\n", "not a netrc file"])
def test_nobody_is_asked_for_a_login(wandb_installed, tmp_path, content):
    if content is not None:
        (tmp_path / ".netrc").write_text(content)
    assert names(small_spec(), tmp_path) == ["TensorBoardLog"]


def test_wandb_can_be_switched_off(wandb_installed, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert names(small_spec(wandb={"enable": False}), tmp_path) == ["TensorBoardLog"]


def test_mlflow_that_is_not_installed_is_named_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'mask-auto-labeler\[mlflow\]'"):
        names(small_spec(mlflow={"enable": True}), tmp_path)


def test_mlflow_is_left_alone_unless_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server.example")
    assert names(small_spec(wandb={"enable": False}), tmp_path) == ["TensorBoardLog"]


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
