from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mal.runtime.status import StatusLog
from mal.training.checkpoint_files import CheckpointFiles, KeepingRules
from mal.training.stop_signals import StopSignals
from mal.training.time_limit import TimeLimit
from tests.training.test_module import module


class StandInTrainer(SimpleNamespace):
    """What the callback asks of a trainer; its checkpoints hold the step."""

    def __init__(self, max_epochs: int) -> None:
        super().__init__(
            max_epochs=max_epochs,
            current_epoch=0,
            global_step=0,
            world_size=1,
            is_global_zero=True,
            validating=False,
            loggers=[],
            ckpt_path=None,
            strategy=SimpleNamespace(broadcast=lambda value: value),
        )

    def save_checkpoint(self, path: Path) -> None:
        draft = path.with_suffix(".draft")
        draft.write_text(str(self.global_step))
        draft.replace(path)


def epochs(folder: Path, scores: list[float | None], **rules) -> CheckpointFiles:
    """Run the callback through epochs of ten steps that end with these scores."""
    trainer = StandInTrainer(len(scores))
    files = CheckpointFiles(
        folder,
        KeepingRules(**{"interval": 1, "unit": "epoch"} | rules),
        minutes=0,
        signals=StopSignals(),
        limit=TimeLimit(None),
        status=StatusLog(folder),
    )
    trained = module()
    files.on_train_start(trainer, trained)
    for epoch, score in enumerate(scores):
        trainer.current_epoch, trainer.global_step = epoch, (epoch + 1) * 10
        if score is not None:
            trained.last_scores = {"val/mIoU": score}
            files.on_validation_start(trainer, trained)
            files.on_validation_end(trainer, trained)
        files.on_train_epoch_end(trainer, trained)
    return files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("model_epoch_*.pth"))


def test_every_epoch_has_its_file_unless_the_spec_says_otherwise(tmp_path):
    epochs(tmp_path, [None] * 3)
    assert names(tmp_path) == ["model_epoch_000.pth", "model_epoch_001.pth", "model_epoch_002.pth"]


def test_only_the_newest_files_are_kept_on_request(tmp_path):
    epochs(tmp_path, [None] * 5, last_n=2)
    assert names(tmp_path) == ["model_epoch_003.pth", "model_epoch_004.pth"]


def test_the_best_file_is_kept_however_old(tmp_path):
    epochs(tmp_path, [0.2, 0.5, 0.4, 0.3], last_n=1)
    assert names(tmp_path) == ["model_epoch_001.pth", "model_epoch_003.pth"]
    assert (tmp_path / "model_best.pth").samefile(tmp_path / "model_epoch_001.pth")


def test_as_many_of_the_best_files_are_kept_as_asked_for(tmp_path):
    epochs(tmp_path, [0.2, 0.5, 0.4, 0.3], last_n=1, best=2)
    assert names(tmp_path) == ["model_epoch_001.pth", "model_epoch_002.pth", "model_epoch_003.pth"]


def test_a_best_score_between_two_files_gets_a_file_that_goes_when_it_is_beaten(tmp_path):
    epochs(tmp_path, [0.2, 0.5, 0.4, 0.6, 0.1], interval=5)
    assert names(tmp_path) == ["model_epoch_003.pth", "model_epoch_004.pth"]
    assert (tmp_path / "model_best.pth").read_text() == "40"


def test_of_equal_scores_the_older_one_stays_the_best(tmp_path):
    files = epochs(tmp_path, [0.5, 0.5])
    assert files.best.name == "model_epoch_000.pth"


def test_without_a_validation_there_is_no_best_file(tmp_path):
    files = epochs(tmp_path, [None, None])
    assert files.best is None
    assert not (tmp_path / "model_best.pth").exists()


def test_a_score_counts_only_for_the_epoch_that_was_validated(tmp_path):
    files = epochs(tmp_path, [0.5, None, None])
    assert [file.miou for file in files.files] == [0.5, None, None]


def test_latest_is_the_newest_state(tmp_path):
    files = epochs(tmp_path, [0.5, 0.4])
    assert (tmp_path / "mal_model_latest.pth").read_text() == "20"
    assert files.newest == tmp_path / "model_epoch_001.pth"


def test_a_resumed_run_remembers_which_file_is_the_best(tmp_path):
    before = epochs(tmp_path, [0.6, 0.5])
    after = CheckpointFiles(
        tmp_path, before.rules, minutes=0, signals=StopSignals(), limit=TimeLimit(None), status=StatusLog(tmp_path)
    )
    after.load_state_dict(before.state_dict())
    after.on_train_start(StandInTrainer(2), module())
    assert after.best == before.best


@pytest.mark.parametrize("gone", ["model_epoch_000.pth"])
def test_a_file_that_a_person_has_deleted_is_forgotten(tmp_path, gone):
    before = epochs(tmp_path, [0.6, 0.5])
    (tmp_path / gone).unlink()
    after = CheckpointFiles(
        tmp_path, before.rules, minutes=0, signals=StopSignals(), limit=TimeLimit(None), status=StatusLog(tmp_path)
    )
    after.load_state_dict(before.state_dict())
    after.on_train_start(StandInTrainer(2), module())
    assert after.best.name == "model_epoch_001.pth"
