from __future__ import annotations

import io
import json
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning import Callback

from mal import console
from mal.coco.notes import RecordNote
from mal.console import PlainConsole
from mal.runtime.status import StatusLog
from mal.training import progress
from mal.training.progress import TrainingProgress, boxes_done
from mal.training.time_limit import TimeLimit
from tests.training.one_weight import SaveAt, fit

pytestmark = pytest.mark.filterwarnings("ignore:Starting from v1.9.0.*", "ignore:You're resuming from a checkpoint.*")


@pytest.fixture
def screen(monkeypatch) -> io.StringIO:
    """The console as a file would get it, with a line for every step."""
    text = io.StringIO()
    written = PlainConsole(file=text, width=200, soft_wrap=True)
    monkeypatch.setattr(console, "console", written)
    monkeypatch.setattr(progress, "console", written)
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_FIGURES", 0.0)
    return text


def entries(folder: Path, message: str = "done") -> list[dict]:
    lines = [json.loads(line) for line in (folder / "status.json").read_text().splitlines()]
    return [line for line in lines if message in line["message"]]


class DoneAtStart(Callback):
    """Where the bar would start."""

    def on_train_start(self, trainer, pl_module):
        self.done = boxes_done(trainer)


@pytest.mark.parametrize(
    ("hook", "count", "done"),
    [
        ("on_train_batch_end", 1, 4),
        ("on_train_batch_end", 2, 8),
        ("on_validation_start", 1, 10),
        ("on_train_epoch_end", 1, 10),
        ("on_train_batch_end", 5, 18),
        ("on_validation_start", 2, 20),
    ],
)
def test_a_resumed_run_starts_its_bar_at_the_true_place(tmp_path, hook, count, done):
    fit(tmp_path, SaveAt(hook, count, tmp_path / "state.ckpt"))
    start = DoneAtStart()
    fit(tmp_path, start, epochs=3, resume_from=tmp_path / "state.ckpt")
    assert start.done == done


def test_a_new_run_starts_its_bar_at_nothing(tmp_path):
    start = DoneAtStart()
    fit(tmp_path, start)
    assert start.done == 0


def test_a_line_tells_epoch_step_figures_rate_and_time_left(tmp_path, screen, monkeypatch):
    looks = chain([100.0], repeat(102.0))  # at the start, and whenever it is looked at afterwards
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: next(looks)))
    fit(tmp_path, TrainingProgress(StatusLog(tmp_path)))
    lines = screen.getvalue().splitlines()
    assert lines[0].startswith("training: 4/20 boxes  2.0 boxes/s  0:08 left  epoch 1/2  step 1  loss ")
    assert lines[0].endswith("  lr 0.1")
    assert lines[3].startswith("epoch 1/2: loss ")
    assert lines[3].endswith("val/mIoU 0.5")


def test_the_time_left_is_at_most_that_of_the_limit(tmp_path, screen, monkeypatch):
    looks = chain([100.0], repeat(102.0))
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: next(looks)))
    limit = TimeLimit(0.1)  # which nobody counts down here
    fit(tmp_path, TrainingProgress(StatusLog(tmp_path), limit=limit))
    assert screen.getvalue().startswith("training: 4/20 boxes  2.0 boxes/s  0:06 left  epoch 1/2  step 1")


def test_every_epoch_has_a_line_of_figures_in_the_status_file(tmp_path, screen):
    fit(tmp_path, TrainingProgress(StatusLog(tmp_path)))
    first, second = entries(tmp_path)
    assert first["metrics"].keys() == {"train/loss", "train/lr", "val/mIoU", "boxes_per_second", "seconds"}
    assert first["metrics"].keys() == second["metrics"].keys()


def test_an_epoch_without_a_validation_has_no_score(tmp_path, screen):
    fit(tmp_path, TrainingProgress(StatusLog(tmp_path)), epochs=3, check_val_every_n_epoch=2)
    assert ["val/mIoU" in entry["metrics"] for entry in entries(tmp_path)] == [False, True, False]


def test_a_run_that_goes_on_with_a_validation_still_knows_the_figures_of_its_last_step(tmp_path, screen):
    state = tmp_path / "state.ckpt"
    fit(tmp_path, TrainingProgress(StatusLog(tmp_path)), SaveAt("on_validation_start", 1, state), epochs=1)
    fit(tmp_path, TrainingProgress(StatusLog(tmp_path / "again")), epochs=1, resume_from=state)
    before, after = entries(tmp_path)[0]["metrics"], entries(tmp_path / "again")[0]["metrics"]
    assert after["train/loss"] == before["train/loss"]


def test_the_bar_of_a_terminal_names_epoch_and_step(tmp_path, screen, monkeypatch):
    terminal = PlainConsole(file=screen, force_terminal=True, width=200)
    monkeypatch.setattr(console, "console", terminal)
    monkeypatch.setattr(progress, "console", terminal)
    fit(tmp_path, TrainingProgress(StatusLog(tmp_path)))
    assert "20/20" in screen.getvalue()
    assert "epoch 2/2  step 6" in screen.getvalue()


def test_a_box_that_cannot_be_read_is_named_once(tmp_path, screen):
    shown = TrainingProgress(StatusLog(tmp_path))
    batch = SimpleNamespace(failures=((SimpleNamespace(position=3, annotation_id=17), "a.jpg: damaged"),))
    for _ in range(2):
        shown.on_validation_batch_end(None, None, None, batch, 0)
        shown.on_validation_epoch_end(SimpleNamespace(world_size=1), None)
    assert screen.getvalue() == "  not validated on: annotation 17: a.jpg: damaged\n"
    assert len(entries(tmp_path, "annotation 17")) == 1


def test_masks_that_say_nothing_are_counted_once_in_a_run(tmp_path, screen):
    truth = SimpleNamespace(notes={})
    shown = TrainingProgress(StatusLog(tmp_path), truth)
    for position in range(3):
        reason = f"its mask has no pixel in its image of {position} x 80"
        truth.notes[position] = RecordNote(position, 10 + position, 1, "warned", reason)
    for _ in range(2):
        shown.on_validation_epoch_end(SimpleNamespace(world_size=1), None)
    said = "3 boxes like annotation 10: its mask has no pixel in its image of 0 x 80"
    assert screen.getvalue() == f"  not validated on: {said}\n"
    assert len(entries(tmp_path, said)) == 1
