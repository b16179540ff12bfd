from __future__ import annotations

import pytest

from mal.config.load import load_spec, save_spec
from mal.config.schema import ExperimentSpec
from mal.errors import UserError


def test_a_saved_spec_loads_back_the_same(tmp_path):
    spec = ExperimentSpec(train={"lr": 1e-7, "optim_betas": [0.5, 0.9], "gpu_ids": [1, 2]}, results_dir="/ä b")
    save_spec(spec, tmp_path / "deeper" / "spec.yaml")
    assert load_spec(tmp_path / "deeper" / "spec.yaml") == spec


def test_the_encryption_key_is_never_saved(tmp_path):
    save_spec(ExperimentSpec(encryption_key="hunter2"), tmp_path / "spec.yaml")
    assert "hunter2" not in (tmp_path / "spec.yaml").read_text()
    assert load_spec(tmp_path / "spec.yaml").encryption_key is None


def test_a_failed_write_leaves_the_last_good_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "spec.yaml"
    save_spec(ExperimentSpec(), path)
    before = path.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(UserError, match="No space left"):
        save_spec(ExperimentSpec(results_dir="/other"), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/spec\.yaml"):
        save_spec(ExperimentSpec(), tmp_path / "file" / "spec.yaml")
