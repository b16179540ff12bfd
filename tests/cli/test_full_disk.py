"""A disk that gets full while a run writes to it."""

from __future__ import annotations

import pytest

from mal.checkpoint.store import read_tensors
from tests.cli.small_runs import run_mal_in_a_process, small_data, write_spec
from tests.small_disk import small_disk

pytestmark = pytest.mark.slow


def test_training_stops_with_one_line_and_what_it_wrote_before_is_good(scenes, tmp_path):
    data = small_data(tmp_path / "coco", scenes)
    with small_disk(tmp_path / "disk", megabytes=30) as folder:  # room for two of its checkpoints
        outcome = run_mal_in_a_process("train", "-e", write_spec(data, folder, train__num_epochs=4))
        assert outcome.exit_code == 1
        (line,) = outcome.error_lines
        assert "cannot be written: No space left on device; files written before are intact" in line
        names = {path.name for path in (folder / "train").iterdir()}
        assert not [name for name in names if name.startswith(".")]
        kept = {name for name in names if name.endswith(".pth")}
        assert {"model_epoch_000.pth", "mal_model_latest.pth"} <= kept
        for name in kept:
            assert read_tensors(folder / "train" / name)["global_step"] > 0
